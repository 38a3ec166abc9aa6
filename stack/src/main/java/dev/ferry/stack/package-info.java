/**
 * The one place that knows concrete classes: it puts the layers of a disk on top of one another, and changes them live.
 *
 * <p>{@link dev.ferry.stack.Stacks} opens a {@link dev.ferry.stack.DiskSpec} as an {@link dev.ferry.stack.OpenDisk} on one
 * of its {@link dev.ferry.stack.DiskLoop}s. The layers, from the guest's side:
 *
 * <pre>
 *   boundary - stats - tracker - gate - [mirror] - aligner where needed - boundary - format - boundary - file
 *                                       `--------- a DiskSide: one for the source, one for the target --------'
 * </pre>
 *
 * <p>What happens on a disk's loop is asked for by a command; {@link dev.ferry.stack.OnLoop} is the bridge on which the
 * blocking code of the control plane waits for it.
 */
@NullMarked
package dev.ferry.stack;

import org.jspecify.annotations.NullMarked;
