package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import org.jspecify.annotations.Nullable;

/** A read: from clusters of the file, from the backing file, from what was packed, and from nowhere. Used again. */
class ReadRequest extends Request {
    @Nullable
    ReadRequest nextFree;

    private int generation;

    ReadRequest(Qcow2Device device) {
        super(device);
    }

    final void read(long offset, long length, IoBuffer into, int intoAt, Completion whenRead) {
        generation = device.recycler.readBegins();
        begin(offset, length, into, intoAt, whenRead);
    }

    @Override
    final String word() {
        return "read";
    }

    @Override
    final void over() {
        device.recycler.readEnded(generation);
        device.recycle(this);
    }

    @Override
    boolean step() {
        long cluster = position >>> device.clusterBits;
        int table = (int) (cluster >>> device.tableBits);
        if (!device.l1.present(table)) {
            readUnallocated(tableEnd(cluster));
            return true;
        }
        MapSlice slice = slice(cluster);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        int what = device.kind(entry);
        switch (what) {
            case NORMAL -> {
                long runEnd = runEnd(slice, index, cluster, entry, false);
                return readHost(hostOffset(entry) + (position & device.clusterMask), runEnd);
            }
            case UNALLOCATED, ZERO_PLAIN, ZERO_ALLOCATED -> {
                long to = cluster + 1;
                for (int i = index + 1;
                        i < slice.entries.length && to << device.clusterBits < end && sameHole(slice.entries[i], what);
                        i++) {
                    to++;
                }
                long runEnd = clusterEnd(to - 1);
                if (what == UNALLOCATED) {
                    readUnallocated(runEnd);
                } else {
                    data().zero(at, (int) (runEnd - position));
                    advanceTo(runEnd);
                }
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

    private boolean sameHole(long entry, int what) {
        int other = device.kind(entry);
        return other == what || (what != UNALLOCATED && (other == ZERO_PLAIN || other == ZERO_ALLOCATED));
    }

    final boolean readHost(long host, long runEnd) {
        if (device.displaced(host, position)) {
            return fail(DISPLACED);
        }
        int length = (int) (runEnd - position);
        long there = store.lengthBytes() - host;
        if (there < length) {
            // The last cluster of a file may be there in part.
            if (there <= -device.clusterMask) {
                return fail("its cluster lies past the end of the file");
            }
            int present = (int) Math.max(0, there);
            data().zero(at + present, length - present);
            if (present == 0) {
                advanceTo(runEnd);
                return true;
            }
            length = present;
        }
        int from = at;
        advanceTo(runEnd);
        outstanding++;
        store.read(host, data(), from, length, this);
        return true;
    }

    final void readUnallocated(long runEnd) {
        BlockDevice backing = device.backing;
        long backed = Math.min(runEnd, device.backingBytes());
        if (backing != null && position < backed) {
            long from = position;
            int into = at;
            advanceTo(backed);
            outstanding++;
            backing.read(from, data(), into, (int) (backed - from), this);
        }
        if (position < runEnd) {
            data().zero(at, (int) (runEnd - position));
            advanceTo(runEnd);
        }
    }

    final boolean readPacked(long entry, long runEnd) {
        waiting = true;
        IoBuffer content = device.packed.content(entry, this);
        if (content == null) {
            return false;
        }
        waiting = false;
        data().copyFrom(content, (int) (position & device.clusterMask), at, (int) (runEnd - position));
        advanceTo(runEnd);
        return true;
    }
}
