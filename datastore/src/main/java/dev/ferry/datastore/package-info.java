/**
 * Datastores: where disks are kept, and what each kind of place can do.
 *
 * <p>{@link dev.ferry.datastore.Datastore} is a directory of disk files: it checks itself when it is added, makes disk
 * files that cannot be seen under their name before they are complete ({@link dev.ferry.datastore.NewDisk}), deletes
 * them, tells its {@link dev.ferry.datastore.Space}, and finds what interrupted work left behind. {@link
 * dev.ferry.datastore.Names} says what a name may be. Nothing here reads or writes a guest's bytes; all of it is blocking
 * code of the control plane, and every error is a {@link dev.ferry.block.BlockException} whose message is one line.
 */
@NullMarked
package dev.ferry.datastore;

import org.jspecify.annotations.NullMarked;
