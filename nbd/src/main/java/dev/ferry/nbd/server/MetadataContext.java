package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.nbd.wire.Nbd;

/**
 * Something that an export can tell of its ranges, under a name that clients ask for, such as {@code
 * qemu:dirty-bitmap:nightly}: what BLOCK_STATUS returns for that context. Called on the export's loop only, except for
 * {@link #name}. Specification: section "Metadata querying".
 */
public interface MetadataContext {
    /** Namespace, colon, leaf; at most 4096 bytes of UTF-8. Any thread; does not change. */
    String name();

    /**
     * Describes a range as {@link BlockDevice#extents} does: consecutive extents, in order, from {@code offset} on, at
     * least one. May be asked after it has been taken from its export, by clients that had selected it before; it then
     * answers as it likes, with an error at best.
     *
     * @param sink takes extents with the status that the client gets, 32 bits
     */
    void extents(long offset, long length, ExtentSink sink, Completion completion);

    /** {@code base:allocation}: holes and zeroes. */
    static MetadataContext allocation(BlockDevice device) {
        return new DeviceContext(Nbd.BASE_ALLOCATION, device) {
            @Override
            int statusOf(int state) {
                return state & (ExtentSink.HOLE | ExtentSink.ZERO);
            }
        };
    }

    /** {@code qemu:allocation-depth}: a disk of Ferry is one layer to its clients, so that the depth is 1 or 0. */
    static MetadataContext depth(BlockDevice device) {
        return new DeviceContext(Nbd.ALLOCATION_DEPTH, device) {
            @Override
            int statusOf(int state) {
                return (state & ExtentSink.HOLE) != 0 ? 0 : 1;
            }
        };
    }
}
