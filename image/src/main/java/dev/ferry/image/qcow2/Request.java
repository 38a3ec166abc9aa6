package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A guest's request on its way through the map: it is cut where the map changes its mind, each piece is submitted, and
 * the request ends when all have. Where something is not there yet, a table, room, a cluster that is being copied, it
 * waits and goes on. Used again.
 */
final class Request extends Waiter implements Completion {
    static final int TO_READ = 0;
    static final int TO_WRITE = 1;
    static final int TO_ZERO = 2;
    private static final String[] WORDS = {"read", "write", "zero"};

    private final Qcow2Device device;
    private final BlockDevice file;

    @Nullable
    Request nextFree;

    private int kind;
    private long position;
    private long end;
    private @Nullable IoBuffer buffer;
    private int at;
    private int flags;
    private @Nullable Completion completion;
    private @Nullable BlockError error;
    private int outstanding;
    private int generation;
    private boolean advancing;
    private boolean again;
    private boolean waiting;
    private boolean changedMap;
    private boolean joined;

    Request(Qcow2Device device) {
        this.device = device;
        this.file = device.file;
    }

    void begin(
            int newKind,
            long offset,
            long length,
            @Nullable IoBuffer newBuffer,
            int newAt,
            int newFlags,
            Completion newCompletion) {
        kind = newKind;
        position = offset;
        end = offset + length;
        buffer = newBuffer;
        at = newAt;
        flags = newFlags & RequestFlags.NO_HOLE;
        completion = newCompletion;
        error = null;
        changedMap = false;
        joined = false;
        if (kind == TO_READ) {
            generation = device.recycler.readBegins();
        }
        advance();
    }

    // ---- going on

    private void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        while (again) {
            again = false;
            walk();
        }
        advancing = false;
        endIfDone();
    }

    private void walk() {
        while (position < end && error == null) {
            if (waiting || !step()) {
                return;
            }
        }
        if (changedMap && !joined && error == null) {
            joined = true;
            outstanding++;
            device.map.join(this);
        }
    }

    @Override
    void resume(@Nullable BlockError problem) {
        waiting = false;
        if (problem != null && error == null) {
            error = problem;
        }
        advance();
    }

    @Override
    void mapWritten(@Nullable BlockError problem) {
        complete(problem);
    }

    /** A piece has ended. */
    @Override
    public void complete(@Nullable BlockError problem) {
        outstanding--;
        if (problem != null && error == null) {
            error = problem;
        }
        endIfDone();
    }

    /** A cluster that was copied for this request is where the map now points. */
    void copied() {
        changedMap = true;
        joined = false;
    }

    private void endIfDone() {
        if (advancing || waiting || outstanding > 0 || (position < end && error == null)) {
            return;
        }
        if (changedMap && !joined && error == null) {
            advance();
            return;
        }
        if (kind == TO_READ) {
            device.recycler.readEnded(generation);
        }
        Completion ended = Objects.requireNonNull(completion);
        BlockError result = error;
        completion = null;
        buffer = null;
        error = null;
        device.recycle(this);
        ended.complete(result);
    }

    private boolean step() {
        return switch (kind) {
            case TO_READ -> read();
            case TO_WRITE -> write();
            default -> zero();
        };
    }

    private IoBuffer data() {
        return Objects.requireNonNull(buffer);
    }

    private boolean fail(String detail) {
        error = device.corrupt(WORDS[kind], position, detail);
        return true;
    }

    /** The slice at the position; null if this now waits for it. */
    private @Nullable MapSlice slice(long cluster) {
        waiting = true;
        MapSlice slice = device.cache.slice(cluster >>> device.sliceBits, this);
        if (slice != null) {
            waiting = false;
        }
        return slice;
    }

    private boolean await() {
        waiting = true;
        device.reserve.await(this);
        return false;
    }

    private long clusterEnd(long cluster) {
        return Math.min(end, (cluster + 1) << device.clusterBits);
    }

    private long tableEnd(long cluster) {
        return Math.min(end, ((cluster >>> device.tableBits) + 1) << (device.tableBits + device.clusterBits));
    }

    private void advanceTo(long next) {
        at += (int) (next - position);
        position = next;
    }

    // ---- reading

    private boolean read() {
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

    /** Where the clusters that lie side by side in the file end, within the slice and the request. */
    private long runEnd(MapSlice slice, int index, long cluster, long entry, boolean exact) {
        long ignored = exact ? 0 : COPIED;
        long expected = entry & ~ignored;
        long to = cluster + 1;
        for (int i = index + 1; i < slice.entries.length && to << device.clusterBits < end; i++) {
            expected += device.clusterMask + 1;
            if ((slice.entries[i] & ~ignored) != expected) {
                break;
            }
            to++;
        }
        return clusterEnd(to - 1);
    }

    private boolean readHost(long host, long runEnd) {
        int length = (int) (runEnd - position);
        long there = file.lengthBytes() - host;
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
        file.read(host, data(), from, length, this);
        return true;
    }

    private void readUnallocated(long runEnd) {
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

    private boolean readPacked(long entry, long runEnd) {
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

    // ---- writing

    /** The slice at the position, whose table belongs to this disk alone; null if this now waits, or has failed. */
    private @Nullable MapSlice ownSlice(long cluster) {
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
        if (slice != null && device.copies.busy(cluster)) {
            waiting = true;
            device.copies.await(cluster, this);
            return null;
        }
        return slice;
    }

    private boolean write() {
        long cluster = position >>> device.clusterBits;
        MapSlice slice = ownSlice(cluster);
        if (slice == null) {
            return false;
        }
        int index = device.indexInSlice(cluster);
        long entry = slice.entries[index];
        return switch (device.kind(entry)) {
            case NORMAL ->
                (entry & COPIED) == 0
                        ? copy(cluster, slice, clusterEnd(cluster))
                        : writeHost(hostOffset(entry), runEnd(slice, index, cluster, entry, true));
            case UNALLOCATED ->
                device.backed(cluster) ? copy(cluster, slice, clusterEnd(cluster)) : allocate(cluster, slice, index);
            case ZERO_PLAIN, ZERO_ALLOCATED -> allocate(cluster, slice, index);
            case PACKED -> copy(cluster, slice, clusterEnd(cluster));
            default -> fail("the L2 entry of its cluster is damaged");
        };
    }

    /** Writes into clusters that are this disk's alone, unless they are none of a guest's. */
    private boolean writeHost(long host, long runEnd) {
        long first = host >>> device.clusterBits;
        long last =
                (host + ((runEnd - 1) & ~device.clusterMask) - (position & ~device.clusterMask)) >>> device.clusterBits;
        for (long one = first; one <= last; one++) {
            if (device.metadata.has(one)) {
                return fail("its L2 entry points at metadata");
            }
        }
        if ((last + 1) << device.clusterBits > file.lengthBytes()) {
            return fail("its cluster lies past the end of the file");
        }
        long target = host + (position & device.clusterMask);
        int from = at;
        int length = (int) (runEnd - position);
        advanceTo(runEnd);
        outstanding++;
        file.write(target, data(), from, length, 0, this);
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
                && !device.copies.busy(cluster + ahead);
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

    private void changed(MapSlice slice, int index, int count) {
        device.map.touched(slice, index, index + count);
        changedMap = true;
    }

    /** The map does not point any more where this entry does. */
    private void drop(long entry) {
        device.copies.drop(entry);
    }

    /** Puts a cluster that has other content so far somewhere else. */
    private boolean copy(long cluster, MapSlice slice, long runEnd) {
        waiting = true;
        if (!device.copies.start(this, cluster, slice, position, runEnd, kind == TO_WRITE ? buffer : null, at)) {
            return false;
        }
        waiting = false;
        advanceTo(runEnd);
        outstanding++;
        device.copies.run();
        return true;
    }

    // ---- zeroes

    private boolean zero() {
        long cluster = position >>> device.clusterBits;
        boolean keep = (flags & RequestFlags.NO_HOLE) != 0;
        int table = (int) (cluster >>> device.tableBits);
        if (!keep && !device.l1.present(table) && !device.backed(cluster)) {
            advanceTo(tableEnd(cluster));
            return true;
        }
        MapSlice slice = ownSlice(cluster);
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
                (entry & COPIED) == 0
                        ? replaceByZeroes(cluster, slice, index, runEnd, whole, keep)
                        : zeroHost(cluster, slice, index, runEnd, whole, keep);
            case PACKED -> replaceByZeroes(cluster, slice, index, runEnd, whole, keep);
            case UNALLOCATED ->
                device.backed(cluster)
                        ? replaceByZeroes(cluster, slice, index, runEnd, whole, keep)
                        : zeroesAlready(slice, index, runEnd, keep);
            case ZERO_PLAIN, ZERO_ALLOCATED -> {
                if (!keep && whole && hostOffset(entry) != 0) {
                    unmap(slice, index, ZERO);
                }
                yield zeroesAlready(slice, index, runEnd, keep);
            }
            default -> fail("the L2 entry of its cluster is damaged");
        };
    }

    /** A cluster that reads as zeroes; room for it is taken where that is asked for. */
    private boolean zeroesAlready(MapSlice slice, int index, long runEnd, boolean keep) {
        if (keep && hostOffset(slice.entries[index]) == 0 && take(slice, index, 1) < 0) {
            return await();
        }
        advanceTo(runEnd);
        return true;
    }

    /** A cluster whose content is not this disk's alone, or not in a cluster at all. */
    private boolean replaceByZeroes(long cluster, MapSlice slice, int index, long runEnd, boolean whole, boolean keep) {
        if (!whole) {
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
        if (whole && !keep && (device.flagged || nothingBelow)) {
            unmap(slice, index, nothingBelow ? 0 : ZERO);
            advanceTo(runEnd);
            return true;
        }
        long host = hostOffset(slice.entries[index]);
        if (device.metadata.has(host >>> device.clusterBits)) {
            return fail("its L2 entry points at metadata");
        }
        if (host + device.clusterMask >= file.lengthBytes()) {
            return fail("its cluster lies past the end of the file");
        }
        long target = host + (position & device.clusterMask);
        long zeroEnd = keep && whole ? keptRun(slice, index, cluster, runEnd) : runEnd;
        long length = zeroEnd - position;
        advanceTo(zeroEnd);
        outstanding++;
        file.writeZeroes(target, length, flags, this);
        return true;
    }

    /** Whole clusters of this disk alone that lie side by side and stay allocated are zeroed together. */
    private long keptRun(MapSlice slice, int index, long cluster, long runEnd) {
        long to = runEnd;
        long entry = slice.entries[index];
        for (int i = index + 1; i < slice.entries.length && to + device.clusterMask < end; i++) {
            entry += device.clusterMask + 1;
            long next = cluster + (i - index);
            boolean follows = slice.entries[i] == entry && !device.copies.busy(next);
            if (!follows
                    || hostOffset(entry) + device.clusterMask >= file.lengthBytes()
                    || device.metadata.has(hostOffset(entry) >>> device.clusterBits)) {
                break;
            }
            to += device.clusterMask + 1;
        }
        return to;
    }
}
