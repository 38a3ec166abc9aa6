/**
 * Bringing a target into step with its source, and proving that it is.
 *
 * <p>{@link dev.ferry.migration.copy.Copier} takes the regions of a mirror one after the other, several at a time, each in
 * a {@code CopySlot}: what the source's map or the bytes themselves show to be zeroes is not written, so that thin stays
 * thin. Which comes next is said by an {@link dev.ferry.migration.copy.Agenda}. {@link dev.ferry.migration.copy.Verifier} reads both sides region by region while the guest writes, and has them
 * compared and digested on other threads, all of it at once or, where the guest's changes are not mirrored, in the rounds of
 * a {@link dev.ferry.migration.copy.Proof}. {@link dev.ferry.migration.copy.FileCopy} has both
 * do their work for a file that does not change. Both live on the disk's loop and are driven by commands to it; how hard they push
 * is turned by a {@link dev.ferry.migration.copy.PaceController} that watches what the guest feels.
 */
@NullMarked
package dev.ferry.migration.copy;

import org.jspecify.annotations.NullMarked;
