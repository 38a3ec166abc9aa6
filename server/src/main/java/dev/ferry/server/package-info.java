/**
 * The daemon of a host. {@link dev.ferry.server.Daemon} puts its parts together and takes them apart: the data directory
 * with its lock, the {@link dev.ferry.server.DataPlane}, the inventory, {@link dev.ferry.server.Datastores}, {@link
 * dev.ferry.server.Disks}, {@link dev.ferry.server.Exports}, dirty bitmaps, migrations, and the REST interface over all of them ({@link
 * dev.ferry.server.Routes}). What it says to its clients is in {@code api}, how it outlives itself in {@code supervise}.
 *
 * <p>All of this is control plane: ordinary code that blocks, on virtual threads or the main thread. It reaches a disk only
 * by commands to the loop that the disk lives on.
 */
@NullMarked
package dev.ferry.server;

import org.jspecify.annotations.NullMarked;
