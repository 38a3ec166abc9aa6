package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.reactor.EventLoop;

/**
 * A disk under the name that clients know it by.
 *
 * @param name what clients ask for; at most 4096 bytes of UTF-8 without NUL; may be empty, for the default export
 * @param description for people; may be empty
 * @param device the disk; its requests run on {@code loop} only. The server never closes it
 * @param loop the loop that the disk belongs to, and that connections to it move to
 * @param buffers where the bytes of requests are; belongs to {@code loop}
 * @param readOnly changes are refused, whatever the device could do
 */
public record Export(
        String name, String description, BlockDevice device, EventLoop loop, BufferPool buffers, boolean readOnly) {
    /** An export that may be changed, if its device may be. */
    public static Export of(String name, BlockDevice device, EventLoop loop, BufferPool buffers) {
        return new Export(name, "", device, loop, buffers, false);
    }
}
