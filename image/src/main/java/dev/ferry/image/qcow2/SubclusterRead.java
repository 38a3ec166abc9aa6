package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

/** A read of a disk whose clusters have parts. Used again. */
final class SubclusterRead extends ReadRequest {
    SubclusterRead(Qcow2Device device) {
        super(device);
    }

    @Override
    boolean step() {
        long cluster = position >>> device.clusterBits;
        if (!device.l1.present((int) (cluster >>> device.tableBits))) {
            readUnallocated(tableEnd(cluster));
            return true;
        }
        MapSlice slice = slice(cluster);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        switch (device.kind(slice, index, device.partOf(position))) {
            case NORMAL -> {
                long runEnd = Subclusters.runEnd(device, slice, position, end);
                return readHost(hostOffset(entry) + (position & device.clusterMask), runEnd);
            }
            case UNALLOCATED -> readUnallocated(Subclusters.runEnd(device, slice, position, end));
            case ZERO_PLAIN, ZERO_ALLOCATED -> {
                long runEnd = Subclusters.runEnd(device, slice, position, end);
                data().zero(at, (int) (runEnd - position));
                advanceTo(runEnd);
            }
            case PACKED -> {
                return readPacked(entry, clusterEnd(cluster));
            }
            default -> {
                return fail("the L2 entry of its cluster is damaged");
            }
        }
        return true;
    }
}
