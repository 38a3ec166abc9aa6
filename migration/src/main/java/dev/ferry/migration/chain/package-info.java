/**
 * Changes to the chain of a disk that is in use: its upper layers go down into one below them (commit), or it takes over what lies below it
 * (streaming).
 *
 * <p>{@link dev.ferry.migration.chain.ChainJobs} is the way in; each job is a {@code ChainJob} with a thread of its own and a {@link
 * dev.ferry.migration.chain.ChainRecord} on disk. At every instant one file is the disk, and it reads the same whichever instant a crash
 * comes at: a commit writes only where it is hidden, and is decided by its record; streaming adds to the overlay what already shows through.
 */
@NullMarked
package dev.ferry.migration.chain;

import org.jspecify.annotations.NullMarked;
