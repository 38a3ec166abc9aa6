package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.RequestFlags;

/**
 * A change to a disk whose clusters have {@link Subclusters}.
 *
 * <p>A cluster is given its place first, which changes nothing of what can be read; its parts get data one by one. Where a
 * part reads as zeroes, and so does its place, durably, the map may say that it has data before, after or without that. Any
 * other part is filled and flushed before the map says so ({@link ClusterCopy}): only as much of the backing file is copied as the
 * request touches. A cluster that is shared with a snapshot or compressed goes elsewhere as a whole. Used again.
 */
final class SubclusterChange extends ChangeRequest {
    private static final int NOT_ZEROING = -1;

    /** Its place in the count of those that may still be on their way to clusters that others have dropped. */
    private int generation = NOT_ZEROING;

    SubclusterChange(Qcow2Device device) {
        super(device);
    }

    @Override
    void over() {
        if (generation != NOT_ZEROING) {
            device.recycler.readEnded(generation);
            generation = NOT_ZEROING;
        }
        super.over();
    }

    // ---- parts of a cluster

    private long clusterStart(long cluster) {
        return cluster << device.clusterBits;
    }

    /** The part behind the last that is touched before a position, which is in this cluster or at its end. */
    private int endPart(long cluster, long to) {
        return (int) ((to - 1 - clusterStart(cluster)) >>> device.partBits) + 1;
    }

    private int touched(long cluster, long to) {
        return Subclusters.mask(device.partOf(position), endPart(cluster, to));
    }

    private boolean backed(long cluster, int part) {
        return clusterStart(cluster) + ((long) part << device.partBits) < device.backingBytes();
    }

    /** The parts that nothing shows through from below, if they have nothing themselves. */
    private int nothingBelow(long cluster) {
        long shown = device.backingBytes() - clusterStart(cluster);
        if (shown <= 0) {
            return WHOLE;
        }
        long parts = ((shown - 1) >>> device.partBits) + 1;
        return parts >= Subclusters.COUNT ? 0 : ~Subclusters.mask(0, (int) parts);
    }

    /** The parts that read as zeroes, in a place that does too: the map may say at any time that they have data. */
    private int ready(MapSlice slice, int index, long cluster) {
        long bitmap = slice.bitmaps[index];
        int zeroes = Subclusters.zero(bitmap) | nothingBelow(cluster);
        return zeroes & ~Subclusters.allocated(bitmap) & slice.clean[index];
    }

    private boolean damaged() {
        return fail("the L2 entry of its cluster is damaged");
    }

    /** Such as the map must not point to, and a guest not write to. */
    private boolean misplaced(long entry) {
        long host = hostOffset(entry);
        if (device.external) {
            return device.displaced(host, position & ~device.clusterMask) && fail(DISPLACED);
        }
        if (device.metadata.has(host >>> device.clusterBits)) {
            return fail("its L2 entry points at metadata");
        }
        return host + device.clusterMask >= store.lengthBytes() && fail("its cluster lies past the end of the file");
    }

    /** Gives places to clusters that have none, for as many in a row as the request touches; what they read as stays. */
    private boolean place(long cluster, MapSlice slice, int index) {
        long last = Math.min((end - 1) >>> device.clusterBits, cluster + slice.entries.length - 1 - index);
        long wanted = 1;
        while (cluster + wanted <= last && placeable(slice, index + (int) wanted, cluster + wanted)) {
            wanted++;
        }
        long host = device.external ? cluster : device.reserve.take(wanted);
        if (host < 0) {
            return await();
        }
        int count = (int) (device.external ? wanted : device.reserve.taken());
        for (int i = 0; i < count; i++) {
            slice.entries[index + i] = (host + i) << device.clusterBits | COPIED;
            slice.clean[index + i] = device.external ? 0 : WHOLE;
        }
        changed(slice, index, count);
        return true;
    }

    private boolean placeable(MapSlice slice, int index, long cluster) {
        return device.kind(slice.entries[index]) == UNALLOCATED
                && Subclusters.allocated(slice.bitmaps[index]) == 0
                && !device.copies.busy(cluster, WHOLE);
    }

    // ---- writing

    @Override
    boolean write() {
        long cluster = position >>> device.clusterBits;
        long pieceEnd = clusterEnd(cluster);
        MapSlice slice = ownSlice(cluster, touched(cluster, pieceEnd));
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        int what = device.kind(slice, index, device.partOf(position));
        int whole = device.kind(entry);
        if (what == INVALID) {
            return damaged();
        }
        if (whole == UNALLOCATED) {
            return place(cluster, slice, index);
        }
        if (whole == PACKED || !device.owned(entry)) {
            return elsewhere(cluster, slice, index, pieceEnd);
        }
        if (what == NORMAL) {
            long runEnd = Subclusters.runEnd(device, slice, position, end);
            afterMap(slice, index, runEnd);
            return writeHost(hostOffset(entry), runEnd);
        }
        if ((ready(slice, index, cluster) >>> device.partOf(position) & 1) != 0) {
            return writeHost(hostOffset(entry), markReady(cluster, slice, index, end));
        }
        return fill(cluster, slice, index, pieceEnd);
    }

    /** The cluster with all that it has goes to another place. */
    private boolean elsewhere(long cluster, MapSlice slice, int index, long changedEnd) {
        boolean packed = device.kind(slice.entries[index]) == PACKED;
        if (!packed && !Subclusters.sound(slice.bitmaps[index], true)) {
            return damaged();
        }
        return copy(cluster, slice, touched(cluster, changedEnd), true, changedEnd, changedEnd);
    }

    /** Says of parts that are ready that they have data, for as many as lie side by side; gives where those end. */
    private long markReady(long cluster, MapSlice slice, int index, long upTo) {
        long one = cluster;
        int i = index;
        int part = device.partOf(position);
        while (true) {
            long pieceEnd = Math.min(upTo, clusterStart(one + 1));
            int wanted = endPart(one, pieceEnd) - part;
            int run = Math.min(wanted, Subclusters.run(ready(slice, i, one), part));
            int marked = Subclusters.mask(part, part + run);
            slice.bitmaps[i] = Subclusters.allocate(slice.bitmaps[i], marked);
            slice.clean[i] &= ~marked;
            changed(slice, i, 1);
            boolean on = run == wanted && pieceEnd < upTo && i + 1 < slice.entries.length;
            if (!on
                    || slice.entries[i + 1] != slice.entries[i] + device.clusterMask + 1
                    || (ready(slice, i + 1, one + 1) & 1) == 0
                    || device.copies.busy(one + 1, WHOLE)) {
                return Math.min(pieceEnd, clusterStart(one) + ((long) (part + run) << device.partBits));
            }
            one++;
            i++;
            part = 0;
        }
    }

    /** Parts without data whose content so far, or what lies in their place, is no zeroes. */
    private boolean fill(long cluster, MapSlice slice, int index, long upTo) {
        if (misplaced(slice.entries[index])) {
            return true;
        }
        int part = device.partOf(position);
        int open = ~(Subclusters.allocated(slice.bitmaps[index]) | ready(slice, index, cluster));
        int endPart = Math.min(endPart(cluster, upTo), part + Subclusters.run(open, part));
        long runEnd = Math.min(upTo, clusterStart(cluster) + ((long) endPart << device.partBits));
        long changedEnd = populates ? position : runEnd;
        return copy(cluster, slice, Subclusters.mask(part, endPart), false, changedEnd, runEnd);
    }

    // ---- zeroes

    @Override
    boolean zero() {
        if (generation == NOT_ZEROING) {
            generation = device.recycler.readBegins();
        }
        long cluster = position >>> device.clusterBits;
        boolean keep = (flags & RequestFlags.NO_HOLE) != 0;
        if (!keep && !device.l1.present((int) (cluster >>> device.tableBits)) && !device.backed(cluster)) {
            advanceTo(tableEnd(cluster));
            return true;
        }
        long pieceEnd = clusterEnd(cluster);
        MapSlice slice = ownSlice(cluster, touched(cluster, pieceEnd));
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        int part = device.partOf(position);
        int what = device.kind(slice, index, part);
        if (what == INVALID) {
            return damaged();
        }
        if (what == PACKED) {
            boolean all = position == clusterStart(cluster) && reachesEnd(pieceEnd, clusterStart(cluster + 1));
            return (keep || !all)
                    ? elsewhere(cluster, slice, index, pieceEnd)
                    : become(cluster, slice, index, WHOLE, pieceEnd);
        }
        long partStart = clusterStart(cluster) + ((long) part << device.partBits);
        long partEnd = partStart + (1L << device.partBits);
        if (position != partStart || !reachesEnd(pieceEnd, partEnd)) {
            return within(cluster, slice, index, what, Math.min(partEnd, pieceEnd), keep);
        }
        // Whole parts of one kind; the last may go past the end of the disk.
        long runEnd = Subclusters.runEnd(device, slice, position, pieceEnd);
        if (!reachesEnd(runEnd, clusterStart(cluster) + ((long) endPart(cluster, runEnd) << device.partBits))) {
            runEnd &= -(1L << device.partBits);
        }
        return (keep || (what == NORMAL && device.external))
                ? within(cluster, slice, index, what, runEnd, keep)
                : become(cluster, slice, index, touched(cluster, runEnd), runEnd);
    }

    private boolean reachesEnd(long to, long wanted) {
        return to >= wanted || to == device.sizeBytes;
    }

    /** Zeroes that stay data, or are so because they are in a part that is. */
    private boolean within(long cluster, MapSlice slice, int index, int what, long runEnd, boolean keep) {
        long entry = slice.entries[index];
        boolean already = what == ZERO_PLAIN
                || what == ZERO_ALLOCATED
                || (what == UNALLOCATED && !backed(cluster, device.partOf(position)));
        if (already && !keep) {
            afterMap(slice, index, runEnd);
            advanceTo(runEnd);
            return true;
        }
        if (device.kind(entry) == UNALLOCATED) {
            return place(cluster, slice, index);
        }
        if (!device.owned(entry)) {
            return elsewhere(cluster, slice, index, runEnd);
        }
        if (what == NORMAL) {
            return zeroHost(slice, index, runEnd);
        }
        if ((ready(slice, index, cluster) >>> device.partOf(position) & 1) != 0) {
            advanceTo(markReady(cluster, slice, index, runEnd));
            return true;
        }
        return fill(cluster, slice, index, runEnd);
    }

    private boolean zeroHost(MapSlice slice, int index, long runEnd) {
        long entry = slice.entries[index];
        if (misplaced(entry)) {
            return true;
        }
        long target = hostOffset(entry) + (position & device.clusterMask);
        long length = runEnd - position;
        afterMap(slice, index, runEnd);
        advanceTo(runEnd);
        outstanding++;
        store.writeZeroes(target, length, flags, this);
        return true;
    }

    /** Parts, all with data in the cluster's place or none, become zeroes by the map. */
    private boolean become(long cluster, MapSlice slice, int index, int parts, long runEnd) {
        long entry = slice.entries[index];
        long before = slice.bitmaps[index];
        boolean packed = device.kind(entry) == PACKED;
        long after =
                Subclusters.clear(before, parts, device.backed(cluster) || (Subclusters.zero(before) & parts) != 0);
        boolean empty = Subclusters.allocated(after) == 0 && !device.copies.busy(cluster, WHOLE);
        boolean hadData = (Subclusters.allocated(before) & parts) != 0;
        if (!packed && hadData && misplaced(entry)) {
            return true;
        }
        if (empty && entry != 0) {
            drop(entry);
            slice.entries[index] = 0;
            slice.clean[index] = 0;
        }
        if (entry == slice.entries[index] && after == before) {
            afterMap(slice, index, runEnd);
        } else {
            slice.bitmaps[index] = after;
            changed(slice, index, 1);
        }
        long target = hostOffset(entry) + (position & device.clusterMask);
        long length = runEnd - position;
        advanceTo(runEnd);
        if (hadData && !empty && device.owned(entry)) {
            outstanding++;
            store.discard(target, length, 0, this);
        }
        return true;
    }

    // ---- from below

    /** Where the last part ends that something shows through. */
    private long belowEnd() {
        return (device.backingBytes() + (1L << device.partBits) - 1) & -(1L << device.partBits);
    }

    @Override
    boolean populate() {
        long cluster = position >>> device.clusterBits;
        long pieceEnd = clusterEnd(cluster);
        if (!device.backed(cluster)) {
            advanceTo(pieceEnd);
            return true;
        }
        MapSlice slice = ownSlice(cluster, WHOLE);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        int what = device.kind(slice, index, device.partOf(position));
        if (what == INVALID) {
            return damaged();
        }
        if (what == PACKED) {
            advanceTo(pieceEnd);
            return true;
        }
        long runEnd = Subclusters.runEnd(device, slice, position, pieceEnd);
        if (what != UNALLOCATED || !backed(cluster, device.partOf(position))) {
            advanceTo(runEnd);
            return true;
        }
        runEnd = Math.min(runEnd, belowEnd());
        if (zeroes) {
            int parts = touched(cluster, runEnd);
            slice.bitmaps[index] = Subclusters.clear(slice.bitmaps[index], parts, true);
            changed(slice, index, 1);
            advanceTo(runEnd);
            return true;
        }
        if (device.kind(entry) == UNALLOCATED) {
            return place(cluster, slice, index);
        }
        if (!device.owned(entry)) {
            return Subclusters.sound(slice.bitmaps[index], true)
                    ? copy(cluster, slice, touched(cluster, runEnd), true, position, runEnd)
                    : damaged();
        }
        return fill(cluster, slice, index, runEnd);
    }
}
