package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.RegionHold;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Copies one region at a time: map, then chunk by chunk read and write what is not zero. Belongs to a copier, which uses
 * it again. One request is in flight at a time; several slots together keep both sides busy.
 */
final class CopySlot extends RegionHold implements Completion {
    /** Zeroes shorter than this, stored as data on the source, are written with what is around them. */
    private static final int ZERO_RUN_BYTES = 64 << 10;

    private static final int BLOCK_BYTES = 4096;
    private static final int RUNS_MAX = 1024;

    private enum Step {
        WAIT,
        MAP,
        MAP_TARGET,
        SCAN,
        OFFLOAD,
        READ,
        WRITE
    }

    private final Copier copier;
    private final Mirror mirror;
    private final IoBuffer buffer;
    private final FarDepth farDepth;
    private int chunkBytes;
    private final DataMap map;
    /** What the target has of its own, where both sides lie over the same; null where they do not. */
    private final @Nullable DataMap targetMap;

    private final long belowBytes;

    @Nullable
    CopySlot nextFree;

    private Step step = Step.WAIT;
    private boolean askMap;
    /** The target's map has been asked for. */
    private boolean joining;

    private long position;
    private long regionEnd;
    private long chunkFrom;
    private long chunkEnd;
    /** Of the write in flight; 0: there is none. */
    private int writtenBytes;

    private long sentNanos;
    private @Nullable BlockError error;
    private boolean advancing;
    private boolean again;
    private boolean ended;

    CopySlot(Copier copier, Mirror mirror, IoBuffer buffer, FarDepth farDepth) {
        this.farDepth = farDepth;
        this.copier = copier;
        this.mirror = mirror;
        this.buffer = buffer;
        this.map = DataMap.ofSource(mirror, RUNS_MAX);
        this.belowBytes = mirror.belowBytes();
        this.targetMap = belowBytes > 0 ? DataMap.ofTarget(mirror, RUNS_MAX) : null;
    }

    IoBuffer buffer() {
        return buffer;
    }

    /**
     * @param known a map to trust for this region, or null
     * @param requestBytes the longest request
     */
    void copy(long region, @Nullable DataMap known, int requestBytes) {
        chunkBytes = requestBytes;
        position = mirror.regionOffset(region);
        regionEnd = position + mirror.regionLength(region);
        askMap = known == null;
        if (known != null) {
            map.copy(known, position, regionEnd);
        }
        error = null;
        ended = false;
        step = Step.WAIT;
        mirror.copy(region, this);
    }

    @Override
    protected void held(@Nullable BlockError why) {
        step = askMap ? Step.MAP : afterMap();
        advance();
    }

    /** What a target that has been written already has of its own hides what the source has not: it is copied too. */
    private Step afterMap() {
        return targetMap != null && !mirror.targetIsZero(region()) ? Step.MAP_TARGET : Step.SCAN;
    }

    @Override
    public void complete(@Nullable BlockError requestError) {
        error = requestError;
        if (joining) {
            joining = false;
            map.join(Objects.requireNonNull(targetMap));
        }
        if (writtenBytes > 0) {
            farDepth.answered(writtenBytes, sentNanos);
            writtenBytes = 0;
        }
        if (requestError != null && step == Step.OFFLOAD && requestError.kind() == ErrorKind.UNSUPPORTED) {
            // All of it once more, by reading and writing.
            error = null;
            position = chunkFrom;
            step = Step.SCAN;
            copier.offloadRefused(requestError);
        }
        advance();
    }

    private void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        while (again) {
            again = false;
            step();
        }
        advancing = false;
        if (ended) {
            ended = false;
            copier.ended(this, error);
        }
    }

    /** Submits one request, whose end brings the next step, or ends the region. */
    private void step() {
        if (error != null || broken() != null) {
            mirror.end(this, false);
            ended = true;
            return;
        }
        switch (step) {
            case MAP -> {
                step = afterMap();
                map.ask(position, regionEnd, this);
            }
            case MAP_TARGET -> {
                step = Step.SCAN;
                joining = true;
                Objects.requireNonNull(targetMap).ask(position, regionEnd, this);
            }
            case SCAN -> scan();
            case OFFLOAD -> {
                copier.wasRead(position - chunkFrom);
                copier.offloaded(position - chunkFrom);
                step = Step.SCAN;
                again = true;
            }
            case READ -> {
                copier.wasRead(chunkEnd - chunkFrom);
                step = Step.WRITE;
                again = true;
            }
            case WRITE -> writePiece();
            case WAIT -> throw new IllegalStateException("a slot that waits has no request");
        }
    }

    /** Deals with the hole at the position, if there is one, or reads the data there. */
    private void scan() {
        if (position == regionEnd) {
            mirror.end(this, true);
            ended = true;
            return;
        }
        long data = map.nextData(position, regionEnd);
        if (data > position) {
            hole(data);
            return;
        }
        chunkFrom = position;
        if (copier.offloadUnitBytes() > 0 && offload(copier.offloadUnitBytes())) {
            return;
        }
        chunkEnd = chunkEnd(position, Math.min(regionEnd, position + chunkBytes));
        step = Step.READ;
        mirror.source().read(chunkFrom, buffer, 0, (int) (chunkEnd - chunkFrom), this);
    }

    /** A hole at the position: zeroes, or what both sides lie over. */
    private void hole(long end) {
        long from = Math.max(position, Math.min(end, belowBytes));
        position = end;
        if (from == end) {
            again = true;
        } else {
            zeroes(from, end);
        }
    }

    /**
     * Has the stores copy the data at the position, up to the next hole, in whole units: what is beside it in them is copied
     * along, the same as on the source.
     *
     * @return false if there is no whole unit left in the region
     */
    private boolean offload(int unit) {
        long from = position & -unit;
        long dataEnd = map.dataEnd(position, regionEnd);
        long end = Math.min((dataEnd + unit - 1) & -unit, regionEnd & -unit);
        if (end <= position) {
            return false;
        }
        position = Math.min(end, dataEnd);
        chunkFrom = from;
        step = Step.OFFLOAD;
        mirror.copyFromSource(from, end - from, this);
        return true;
    }

    /** Up to the next hole that is worth a request of its own. */
    private long chunkEnd(long from, long limit) {
        long end = map.dataEnd(from, limit);
        while (end < limit) {
            long data = map.nextData(end, limit);
            if (data == limit || data - end >= ZERO_RUN_BYTES) {
                return end;
            }
            end = map.dataEnd(data, limit);
        }
        return end;
    }

    private void writePiece() {
        if (position == chunkEnd) {
            step = Step.SCAN;
            again = true;
            return;
        }
        long from = position;
        long data = map.nextData(from, chunkEnd);
        if (data > from) {
            hole(data);
            return;
        }
        long runEnd = map.dataEnd(from, chunkEnd);
        long zeroEnd = zeroesFrom(from, runEnd);
        if (zeroEnd == runEnd || zeroEnd - from >= ZERO_RUN_BYTES) {
            position = zeroEnd;
            zeroes(from, zeroEnd);
            return;
        }
        long end = dataFrom(zeroEnd, runEnd);
        position = end;
        int length = (int) (end - from);
        copier.written(length);
        writtenBytes = length;
        sentNanos = farDepth.nanoTime();
        mirror.copyWrite(from, buffer, (int) (from - chunkFrom), length, this);
    }

    private void zeroes(long from, long end) {
        copier.zero(end - from);
        if (from >= belowBytes && mirror.targetIsZero(region())) {
            again = true;
        } else {
            mirror.copyZeroes(from, end - from, this);
        }
    }

    /** Where the run of zero blocks ends that begins at a position; the position itself if none does. */
    private long zeroesFrom(long from, long limit) {
        long at = from;
        while (at < limit) {
            long next = Math.min(limit, (at & -BLOCK_BYTES) + BLOCK_BYTES);
            if (!buffer.isZero((int) (at - chunkFrom), (int) (next - at))) {
                return at;
            }
            at = next;
        }
        return at;
    }

    /** Where the next run of zeroes begins that is long enough to leave out. */
    private long dataFrom(long from, long limit) {
        long at = from;
        while (at < limit) {
            long zeroEnd = zeroesFrom(at, limit);
            if (zeroEnd > at && (zeroEnd == limit || zeroEnd - at >= ZERO_RUN_BYTES)) {
                return at;
            }
            at = zeroEnd == at ? Math.min(limit, (at & -BLOCK_BYTES) + BLOCK_BYTES) : zeroEnd;
        }
        return limit;
    }
}
