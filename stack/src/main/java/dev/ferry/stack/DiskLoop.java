package dev.ferry.stack;

import dev.ferry.block.BufferPool;
import dev.ferry.block.Loop;
import dev.ferry.image.qcow2.Qcow2Settings;
import dev.ferry.reactor.EventLoop;

/**
 * A thread that disks live on, with the memory that their requests use.
 *
 * @param events the event loop
 * @param loop the same, as the layers of a disk see it
 * @param buffers belongs to the loop's thread
 * @param tableBytes bound on the memory for the tables of each qcow2 image that is open here, in bytes
 */
public record DiskLoop(EventLoop events, Loop loop, BufferPool buffers, long tableBytes) {
    /** One with the usual bound for tables. */
    public DiskLoop(EventLoop events, Loop loop, BufferPool buffers) {
        this(events, loop, buffers, Qcow2Settings.DEFAULT.mapBytes());
    }
}
