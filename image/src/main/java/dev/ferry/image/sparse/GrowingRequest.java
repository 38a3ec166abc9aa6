package dev.ferry.image.sparse;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A request to a {@link GrowingExtent}, which goes from grain to grain: what lies side by side in the file is one request
 * to it, and those are in flight together; where a map has to be read, or a grain gets its place, it waits. Pooled.
 */
final class GrowingRequest implements Completion {
    static final int READ = 0;
    static final int WRITE = 1;
    static final int ZERO = 2;
    static final int DISCARD = 3;

    /** Grains that are passed over before the loop has its turn. */
    private static final int PASSED_MAX = 1 << 16;

    /** What it waits for. */
    private enum Step {
        MAP,
        OTHERS,
        TURN,
        GROWTH,
        ENTRY
    }

    private final GrowingExtent extent;
    private final Completion pieceEnd = this::pieceEnded;
    private final Runnable turn = this::goOn;

    @Nullable
    GrowingRequest nextFree;

    private @Nullable Completion completion;
    private @Nullable IoBuffer buffer;
    private @Nullable BlockError error;
    private Step step = Step.TURN;
    private int operation;
    private int flags;
    private int at;
    private long position;
    private long end;
    private long first;
    private int count;
    private int pieces;
    private int passed;
    private boolean waits;
    private boolean advancing;

    GrowingRequest(GrowingExtent extent) {
        this.extent = extent;
    }

    void begin(int what, long offset, long length, @Nullable IoBuffer data, int dataAt, int how, Completion whenEnded) {
        operation = what;
        position = offset;
        end = offset + length;
        buffer = data;
        at = dataAt;
        flags = how;
        completion = whenEnded;
        error = null;
        count = 0;
        pieces = 0;
        passed = 0;
        waits = false;
        advance();
    }

    private void advance() {
        if (advancing) {
            return;
        }
        advancing = true;
        while (!waits && error == null && position < end) {
            next();
        }
        advancing = false;
        endIfDone();
    }

    private void endIfDone() {
        if (advancing || waits || pieces > 0 || (error == null && position < end)) {
            return;
        }
        Completion whenEnded = Objects.requireNonNull(completion);
        BlockError problem = error;
        completion = null;
        buffer = null;
        extent.free(this);
        whenEnded.complete(problem);
    }

    private void pieceEnded(@Nullable BlockError problem) {
        pieces--;
        if (problem != null && error == null) {
            error = problem;
        }
        endIfDone();
    }

    private void goOn() {
        complete(null);
    }

    private void await(Step what) {
        step = what;
        waits = true;
    }

    private void next() {
        long grain = position / extent.grainBytes;
        if (!extent.map.knows(grain)) {
            await(Step.MAP);
            extent.map.learn(grain, this);
            return;
        }
        long host = extent.map.positionOf(grain);
        if (host >= 0) {
            there(grain, host);
        } else if (host != GrainMap.NOTHING && host != GrainMap.ZEROES) {
            error = damaged(host, "an entry of its tables is damaged");
        } else if (operation == WRITE || (flags & RequestFlags.NO_HOLE) != 0) {
            make(grain);
        } else {
            pass(Math.min(end, (grain + 1) * extent.grainBytes));
        }
    }

    private BlockError damaged(long host, String why) {
        return BlockError.of(ErrorKind.CORRUPT, extent.name, operation == READ ? "read" : "write", host, 0, why);
    }

    /** What is not there reads as zeroes, and need not become zeroes. */
    private void pass(long to) {
        if (operation == READ) {
            Objects.requireNonNull(buffer).zero(at, (int) (to - position));
        }
        moveTo(to);
        if (++passed == PASSED_MAX) {
            passed = 0;
            await(Step.TURN);
            extent.loop.execute(turn);
        }
    }

    private void moveTo(long to) {
        at += operation <= WRITE ? (int) (to - position) : 0;
        position = to;
    }

    /** One run of grains that lie side by side. */
    private void there(long grain, long host) {
        long begin = grain * extent.grainBytes;
        long runEnd = Math.min(end, begin + extent.grainBytes);
        for (long following = grain + 1;
                runEnd < end
                        && extent.map.knows(following)
                        && extent.map.positionOf(following) == host + (runEnd - begin);
                following++) {
            runEnd = Math.min(end, runEnd + extent.grainBytes);
        }
        long from = position;
        long run = runEnd - from;
        long where = host + (from - begin);
        if (where > extent.file.lengthBytes() - run) {
            error = damaged(host, "its data lies past the end of the file");
            return;
        }
        int dataAt = at;
        moveTo(runEnd);
        pieces++;
        submit(where, run, dataAt, flags, pieceEnd);
    }

    private void submit(long where, long run, int dataAt, int how, Completion whenEnded) {
        switch (operation) {
            case READ -> extent.file.read(where, Objects.requireNonNull(buffer), dataAt, (int) run, whenEnded);
            case WRITE -> extent.file.write(where, Objects.requireNonNull(buffer), dataAt, (int) run, 0, whenEnded);
            case ZERO -> extent.file.writeZeroes(where, run, how, whenEnded);
            default -> extent.file.discard(where, run, 0, whenEnded);
        }
    }

    // ---- new grains

    boolean makes(long grain) {
        return grain >= first && grain < first + count;
    }

    private void make(long grain) {
        if (extent.inTheMaking(grain)) {
            await(Step.OTHERS);
            extent.park(this);
            return;
        }
        int room = extent.map.room(grain);
        if (room == 0) {
            grow();
            return;
        }
        long last = Math.min((end - 1) / extent.grainBytes, grain + room - 1);
        long to = grain;
        while (to < last && absent(to + 1)) {
            to++;
        }
        first = grain;
        count = (int) (to - grain + 1);
        extent.makes(this);
        await(Step.ENTRY);
        extent.map.enter(first, count, extent.map.take(first, count), this);
    }

    private boolean absent(long grain) {
        if (!extent.map.knows(grain) || extent.inTheMaking(grain)) {
            return false;
        }
        long host = extent.map.positionOf(grain);
        return host == GrainMap.NOTHING || host == GrainMap.ZEROES;
    }

    private void grow() {
        if (extent.growing) {
            await(Step.OTHERS);
            extent.park(this);
        } else {
            extent.growing = true;
            await(Step.GROWTH);
            extent.map.grow(this);
        }
    }

    /** What it waited for is there, or failed. */
    @Override
    public void complete(@Nullable BlockError problem) {
        Invariant.that(waits, "a step that is waited for");
        if (problem != null) {
            error = problem;
        }
        waits = false;
        switch (step) {
            case ENTRY -> {
                count = 0;
                extent.unmake(this);
                advance();
                extent.wake();
            }
            case GROWTH -> {
                extent.growing = false;
                advance();
                extent.wake();
            }
            case MAP, OTHERS, TURN -> advance();
        }
    }
}
