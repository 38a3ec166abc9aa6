package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import org.jspecify.annotations.Nullable;

/**
 * A write, or zeroes: into clusters that are this disk's alone, which are taken or copied where it has none; or the taking over of
 * clusters from the backing file. Used again.
 */
class ChangeRequest extends Request {
    /** All parts of a cluster. */
    static final int WHOLE = -1;

    @Nullable
    ChangeRequest nextFree;

    /** Or what is taken over from the backing file is. */
    boolean zeroes;

    boolean populates;
    int flags;

    ChangeRequest(Qcow2Device device) {
        super(device);
    }

    final void write(long offset, long length, IoBuffer from, int fromAt, Completion whenWritten) {
        zeroes = false;
        populates = false;
        begin(offset, length, from, fromAt, whenWritten);
    }

    /** @param zero what is taken over is zeroes */
    final void populate(long offset, long length, boolean zero, Completion whenPopulated) {
        zeroes = zero;
        populates = true;
        begin(offset, length, null, 0, whenPopulated);
    }

    /** @param zeroFlags {@link RequestFlags#NO_HOLE} or 0; others are not looked at */
    final void zero(long offset, long length, int zeroFlags, Completion whenZero) {
        zeroes = true;
        populates = false;
        flags = zeroFlags & RequestFlags.NO_HOLE;
        begin(offset, length, null, 0, whenZero);
    }

    @Override
    final String word() {
        return populates ? "populate" : zeroes ? "zero" : "write";
    }

    @Override
    final boolean step() {
        if (populates) {
            return populate();
        }
        return zeroes ? zero() : write();
    }

    boolean populate() {
        long cluster = position >>> device.clusterBits;
        long runEnd = clusterEnd(cluster);
        if (!device.backed(cluster)) {
            advanceTo(runEnd);
            return true;
        }
        MapSlice slice = ownSlice(cluster, WHOLE);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        if (device.kind(slice.entries[index]) != UNALLOCATED) {
            advanceTo(runEnd);
        } else if (zeroes && device.flagged) {
            unmap(slice, index, ZERO);
            advanceTo(runEnd);
        } else {
            return copy(cluster, slice, position, runEnd);
        }
        return true;
    }

    @Override
    void over() {
        device.recycle(this);
    }

    final boolean await() {
        waiting = true;
        device.reserve.await(this);
        return false;
    }

    // ---- writing

    /**
     * The slice at the position, whose table belongs to this disk alone; null if this now waits, or has failed.
     *
     * @param parts of the cluster, which nobody else may be copying
     */
    final @Nullable MapSlice ownSlice(long cluster, int parts) {
        int table = (int) (cluster >>> device.tableBits);
        if (!device.l1.owned(table)) {
            if (device.l1.present(table)) {
                waiting = true;
                device.copies.table(table, this);
                return null;
            }
            long host = device.reserve.take(1);
            if (host < 0) {
                boolean _ = await();
                return null;
            }
            device.l1.set(table, host << device.clusterBits);
            device.metadata.add(host);
            changedMap = true;
        }
        MapSlice slice = slice(cluster);
        if (slice != null && device.copies.busy(cluster, parts)) {
            waiting = true;
            device.copies.await(cluster, parts, this);
            return null;
        }
        return slice;
    }

    boolean write() {
        long cluster = position >>> device.clusterBits;
        MapSlice slice = ownSlice(cluster, WHOLE);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        return switch (device.kind(entry)) {
            case NORMAL ->
                device.owned(entry)
                        ? overwrite(cluster, slice, index, entry)
                        : copy(cluster, slice, clusterEnd(cluster));
            case UNALLOCATED ->
                (device.backed(cluster) || device.external)
                        ? copy(cluster, slice, clusterEnd(cluster))
                        : allocate(cluster, slice, index);
            case ZERO_PLAIN, ZERO_ALLOCATED ->
                device.external ? copy(cluster, slice, clusterEnd(cluster)) : allocate(cluster, slice, index);
            case PACKED -> copy(cluster, slice, clusterEnd(cluster));
            default -> fail("the L2 entry of its cluster is damaged");
        };
    }

    /** Writes into clusters that are this disk's alone, for as many as lie side by side. */
    private boolean overwrite(long cluster, MapSlice slice, int index, long entry) {
        long runEnd = runEnd(slice, index, cluster, entry, true);
        afterMap(slice, index, runEnd);
        return writeHost(hostOffset(entry), runEnd);
    }

    /**
     * Another request may have changed entries up to here that are not in the file yet: this one ends no sooner than they are, or
     * what it has changed would be lost with the process.
     */
    final void afterMap(MapSlice slice, int index, long runEnd) {
        int clusters = (int) (((runEnd - 1) >>> device.clusterBits) - (position >>> device.clusterBits)) + 1;
        changedMap |= slice.pending(index, index + clusters);
    }

    /** Writes into clusters that are this disk's alone, unless they are none of a guest's. */
    final boolean writeHost(long host, long runEnd) {
        long first = host >>> device.clusterBits;
        long last =
                (host + ((runEnd - 1) & ~device.clusterMask) - (position & ~device.clusterMask)) >>> device.clusterBits;
        for (long one = first; one <= last && !device.external; one++) {
            if (device.metadata.has(one)) {
                return fail("its L2 entry points at metadata");
            }
        }
        if ((last + 1) << device.clusterBits > store.lengthBytes() && !device.external) {
            return fail("its cluster lies past the end of the file");
        }
        long target = host + (position & device.clusterMask);
        if (device.displaced(target, position)) {
            return fail(DISPLACED);
        }
        int from = at;
        int length = (int) (runEnd - position);
        advanceTo(runEnd);
        outstanding++;
        store.write(target, data(), from, length, 0, this);
        return true;
    }

    /** Takes clusters that read as zeroes, for as many in a row as have none and read so. */
    private boolean allocate(long cluster, MapSlice slice, int index) {
        long last = Math.min((end - 1) >>> device.clusterBits, cluster + slice.entries.length - 1 - index);
        long wanted = 1;
        while (cluster + wanted <= last && readsAsZeroes(slice, index, cluster, wanted)) {
            wanted++;
        }
        long host = take(slice, index, wanted);
        if (host < 0) {
            return await();
        }
        long runEnd = clusterEnd(cluster + device.reserve.taken() - 1);
        return writeHost(host << device.clusterBits, runEnd);
    }

    private boolean readsAsZeroes(MapSlice slice, int index, long cluster, long ahead) {
        int what = device.kind(slice.entries[index + (int) ahead]);
        boolean zero = what == ZERO_PLAIN || what == ZERO_ALLOCATED;
        return (zero || (what == UNALLOCATED && !device.backed(cluster + ahead)))
                && !device.copies.busy(cluster + ahead, WHOLE);
    }

    /** Points entries at clusters of the reserve; the first of those, or -1 if there is none. */
    private long take(MapSlice slice, int index, long wanted) {
        long host = device.reserve.take(wanted);
        if (host < 0) {
            return -1;
        }
        int count = (int) device.reserve.taken();
        for (int i = 0; i < count; i++) {
            drop(slice.entries[index + i]);
            slice.entries[index + i] = (host + i) << device.clusterBits | COPIED;
        }
        changed(slice, index, count);
        return host;
    }

    final void changed(MapSlice slice, int index, int count) {
        device.map.touched(slice, index, index + count);
        changedMap = true;
    }

    /** The map does not point any more where this entry does. */
    final void drop(long entry) {
        device.copies.drop(entry);
    }

    /** Puts a cluster that has other content so far somewhere else. */
    private boolean copy(long cluster, MapSlice slice, long runEnd) {
        return copy(cluster, slice, runEnd, runEnd);
    }

    /** @param changedEnd what lies from the position to there is changed by this request; the rest of the cluster is as it was */
    final boolean copy(long cluster, MapSlice slice, long changedEnd, long runEnd) {
        return copy(cluster, slice, WHOLE, true, changedEnd, runEnd);
    }

    /**
     * @param parts those of the cluster that have data of their own afterwards
     * @param elsewhere into another cluster, with all that this one has; or just these parts, to where this one is
     */
    final boolean copy(long cluster, MapSlice slice, int parts, boolean elsewhere, long changedEnd, long runEnd) {
        waiting = true;
        if (!device.copies.start(this, cluster, slice, parts, elsewhere, position, changedEnd)) {
            return false;
        }
        waiting = false;
        advanceTo(runEnd);
        outstanding++;
        device.copies.run();
        return true;
    }

    // ---- zeroes

    boolean zero() {
        long cluster = position >>> device.clusterBits;
        boolean keep = (flags & RequestFlags.NO_HOLE) != 0;
        int table = (int) (cluster >>> device.tableBits);
        if (!keep && !device.l1.present(table) && !device.backed(cluster)) {
            advanceTo(tableEnd(cluster));
            return true;
        }
        MapSlice slice = ownSlice(cluster, WHOLE);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        long runEnd = clusterEnd(cluster);
        boolean whole = (position & device.clusterMask) == 0
                && (runEnd == (cluster + 1) << device.clusterBits || runEnd == device.sizeBytes);
        return switch (device.kind(entry)) {
            case NORMAL ->
                device.owned(entry)
                        ? zeroHost(cluster, slice, index, runEnd, whole, keep)
                        : replaceByZeroes(cluster, slice, index, runEnd, whole, keep);
            case PACKED -> replaceByZeroes(cluster, slice, index, runEnd, whole, keep);
            case UNALLOCATED ->
                device.backed(cluster)
                        ? replaceByZeroes(cluster, slice, index, runEnd, whole, keep)
                        : zeroesAlready(cluster, slice, index, runEnd, keep);
            case ZERO_PLAIN, ZERO_ALLOCATED -> {
                if (!keep && whole && hostOffset(entry) != 0 && !device.external) {
                    unmap(slice, index, ZERO);
                }
                yield zeroesAlready(cluster, slice, index, runEnd, keep);
            }
            default -> fail("the L2 entry of its cluster is damaged");
        };
    }

    /** A cluster that reads as zeroes; room for it is taken where that is asked for. */
    private boolean zeroesAlready(long cluster, MapSlice slice, int index, long runEnd, boolean keep) {
        if (keep && device.external) {
            return copy(cluster, slice, runEnd);
        }
        if (keep && hostOffset(slice.entries[index]) == 0 && take(slice, index, 1) < 0) {
            return await();
        }
        afterMap(slice, index, runEnd);
        advanceTo(runEnd);
        return true;
    }

    /** A cluster whose content is not this disk's alone, or not in a cluster at all. */
    private boolean replaceByZeroes(long cluster, MapSlice slice, int index, long runEnd, boolean whole, boolean keep) {
        if (!whole || (keep && device.external)) {
            return copy(cluster, slice, runEnd);
        }
        if (keep || !device.flagged) {
            if (!keep && !device.backed(cluster)) {
                unmap(slice, index, 0);
            } else if (take(slice, index, 1) < 0) {
                return await();
            }
        } else {
            unmap(slice, index, device.backed(cluster) ? ZERO : 0);
        }
        advanceTo(runEnd);
        return true;
    }

    private void unmap(MapSlice slice, int index, long becomes) {
        drop(slice.entries[index]);
        slice.entries[index] = becomes;
        changed(slice, index, 1);
    }

    private boolean zeroHost(long cluster, MapSlice slice, int index, long runEnd, boolean whole, boolean keep) {
        boolean nothingBelow = !device.backed(cluster);
        if (whole && !keep && !device.external && (device.flagged || nothingBelow)) {
            unmap(slice, index, nothingBelow ? 0 : ZERO);
            advanceTo(runEnd);
            return true;
        }
        long host = hostOffset(slice.entries[index]);
        long target = host + (position & device.clusterMask);
        if (device.displaced(target, position)) {
            return fail(DISPLACED);
        }
        if (device.metadata.has(host >>> device.clusterBits) && !device.external) {
            return fail("its L2 entry points at metadata");
        }
        if (host + device.clusterMask >= store.lengthBytes() && !device.external) {
            return fail("its cluster lies past the end of the file");
        }
        long zeroEnd = ((keep || device.external) && whole) ? keptRun(slice, index, cluster, runEnd) : runEnd;
        long length = zeroEnd - position;
        afterMap(slice, index, zeroEnd);
        advanceTo(zeroEnd);
        outstanding++;
        store.writeZeroes(target, length, flags, this);
        return true;
    }

    /** Whole clusters of this disk alone that lie side by side and stay allocated are zeroed together. */
    private long keptRun(MapSlice slice, int index, long cluster, long runEnd) {
        long to = runEnd;
        long entry = slice.entries[index];
        for (int i = index + 1; i < slice.entries.length && to + device.clusterMask < end; i++) {
            entry += device.clusterMask + 1;
            long next = cluster + (i - index);
            boolean follows = slice.entries[i] == entry && !device.copies.busy(next, WHOLE);
            if (!follows
                    || hostOffset(entry) + device.clusterMask >= store.lengthBytes()
                    || (device.metadata.has(hostOffset(entry) >>> device.clusterBits) && !device.external)) {
                break;
            }
            to += device.clusterMask + 1;
        }
        return to;
    }
}
