package dev.ferry.stack;

import dev.ferry.block.BufferPool;
import dev.ferry.block.Loop;
import dev.ferry.reactor.EventLoop;

/**
 * A thread that disks live on, with the memory that their requests use.
 *
 * @param events the event loop
 * @param loop the same, as the layers of a disk see it
 * @param buffers belongs to the loop's thread
 */
public record DiskLoop(EventLoop events, Loop loop, BufferPool buffers) {}
