package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.reactor.EventLoop;
import java.util.List;
import java.util.function.Supplier;

/**
 * A disk under the name that clients know it by.
 *
 * @param name what clients ask for; at most 4096 bytes of UTF-8 without NUL; may be empty, for the default export
 * @param description for people; may be empty
 * @param device the disk; its requests run on {@code loop} only. The server never closes it
 * @param loop the loop that the disk belongs to, and that connections to it move to
 * @param buffers where the bytes of requests are; belongs to {@code loop}
 * @param readOnly changes are refused, whatever the device could do
 * @param contexts what else it can tell of its ranges, now: asked for whenever a client asks, on any thread. The names
 *     are unique
 */
public record Export(
        String name,
        String description,
        BlockDevice device,
        EventLoop loop,
        BufferPool buffers,
        boolean readOnly,
        Supplier<List<MetadataContext>> contexts) {
    public Export(
            String name, String description, BlockDevice device, EventLoop loop, BufferPool buffers, boolean readOnly) {
        this(name, description, device, loop, buffers, readOnly, List::of);
    }

    /** An export that may be changed, if its device may be. */
    public static Export of(String name, BlockDevice device, EventLoop loop, BufferPool buffers) {
        return new Export(name, "", device, loop, buffers, false);
    }

    /** The same export, which can tell more of its ranges. */
    public Export withContexts(Supplier<List<MetadataContext>> more) {
        return new Export(name, description, device, loop, buffers, readOnly, more);
    }
}
