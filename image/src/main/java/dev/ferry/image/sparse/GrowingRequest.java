package dev.ferry.image.sparse;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
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
        BELOW,
        COPY,
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
    private long place;
    private boolean done;
    /** Up to where it is known what is below, and whether that is zeroes. */
    private long toldTo;

    private boolean toldZero;
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
        toldTo = 0;
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
        } else if (host == GrainMap.NOTHING && extent.below != null) {
            shining(grain, extent.below);
        } else if (needsPlace()) {
            make(grain, host);
        } else {
            pass(Math.min(end, (grain + 1) * extent.grainBytes));
        }
    }

    /** Zeroes alone need no place, unless they are to have one. */
    private boolean needsPlace() {
        return operation == WRITE || (flags & RequestFlags.NO_HOLE) != 0;
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

    private boolean takesTurns(long grain) {
        if (!extent.inTheMaking(grain)) {
            return true;
        }
        await(Step.OTHERS);
        extent.park(this);
        return false;
    }

    /** Gives a run of grains a place. If a parent shows through there, their data goes first, and the entry follows. */
    private void make(long grain, long host) {
        if (!takesTurns(grain)) {
            return;
        }
        int room = extent.map.room(grain);
        if (room == 0) {
            grow(grain);
            return;
        }
        long to = needsPlace() ? end : Math.min(end, toldTo);
        long last = Math.min((to - 1) / extent.grainBytes, grain + room - 1);
        making(grain, run(grain, last, host));
        place = extent.map.take(first, count);
        if (host == GrainMap.NOTHING && extent.below != null) {
            await(Step.COPY);
            IoBuffer data = operation == WRITE ? buffer : null;
            extent.copyUp().begin(first, count, place, position, endOfRun(), data, at, flags, this);
        } else {
            enter(false);
        }
    }

    /** @param whole there is nothing to be done for these grains then */
    private void enter(boolean whole) {
        done = whole;
        await(Step.ENTRY);
        extent.map.enter(first, count, place, this);
    }

    private void making(long grain, int grains) {
        first = grain;
        count = grains;
        extent.makes(this);
    }

    private long endOfRun() {
        return Math.min(end, (first + count) * extent.grainBytes);
    }

    /** How many grains follow, this one among them, that are alike and that nobody else makes. */
    private int run(long grain, long last, long host) {
        long to = grain;
        while (to < last
                && extent.map.knows(to + 1)
                && !extent.inTheMaking(to + 1)
                && extent.map.positionOf(to + 1) == host) {
            to++;
        }
        return (int) (to - grain + 1);
    }

    // ---- where a parent shows through

    private void shining(long grain, Below below) {
        if (operation == READ) {
            long most = Math.min((end - 1) / extent.grainBytes, grain + PASSED_MAX);
            long to = grain;
            while (to < most && extent.map.knows(to + 1) && extent.map.positionOf(to + 1) == GrainMap.NOTHING) {
                to++;
            }
            long from = position;
            int dataAt = at;
            moveTo(Math.min(end, (to + 1) * extent.grainBytes));
            pieces++;
            below.read(from, Objects.requireNonNull(buffer), dataAt, (int) (position - from), pieceEnd);
            return;
        }
        boolean needsPlace = needsPlace();
        if (!needsPlace && position >= toldTo) {
            ask(below);
            return;
        }
        if (!needsPlace && toldZero) {
            pass(Math.min(toldTo, (grain + extent.map.nothingFrom(grain)) * extent.grainBytes));
            return;
        }
        int marked = needsPlace ? 0 : zeroable(grain);
        if (marked == 0) {
            make(grain, GrainMap.NOTHING);
        } else if (takesTurns(grain)) {
            making(grain, marked);
            done = true;
            await(Step.ENTRY);
            extent.map.enterZeroes(first, count, this);
        }
    }

    /** What is zeroes below need not become zeroes. */
    private void ask(Below below) {
        await(Step.BELOW);
        below.extents(
                position,
                end - position,
                (offset, length, state) -> {
                    if (offset == position) {
                        toldTo = offset + length;
                        toldZero = (state & ExtentSink.ZERO) != 0;
                    }
                },
                this);
    }

    /** Not to know what is below is no reason not to hide it. */
    private void told(@Nullable BlockError problem) {
        if (problem != null || toldTo <= position) {
            toldTo = end;
            toldZero = false;
        }
    }

    /** How many whole grains from here on can be made zeroes by the map alone. */
    private int zeroable(long grain) {
        boolean toTheEnd = end == extent.sizeBytes();
        long wholeTo = toTheEnd ? Math.ceilDiv(end, extent.grainBytes) : end / extent.grainBytes;
        if (position != grain * extent.grainBytes || wholeTo <= grain) {
            return 0;
        }
        int most = extent.map.zeroable(grain, wholeTo - grain);
        return most == 0 ? 0 : Math.min(most, run(grain, grain + most - 1, GrainMap.NOTHING));
    }

    private void grow(long grain) {
        if (extent.growing) {
            await(Step.OTHERS);
            extent.park(this);
        } else {
            extent.growing = true;
            await(Step.GROWTH);
            extent.map.grow(grain, this);
        }
    }

    /** What it waited for is there, or failed. */
    @Override
    public void complete(@Nullable BlockError problem) {
        Invariant.that(waits, "a step that is waited for");
        if (problem != null && step != Step.BELOW) {
            error = problem;
        }
        waits = false;
        switch (step) {
            case COPY -> {
                if (problem == null) {
                    enter(true);
                } else {
                    extent.map.giveUp(first, count);
                    made();
                }
            }
            case ENTRY -> {
                if (problem == null && done) {
                    moveTo(endOfRun());
                }
                made();
            }
            case GROWTH -> {
                extent.growing = false;
                advance();
                extent.wake();
            }
            case BELOW -> {
                told(problem);
                advance();
            }
            case MAP, OTHERS, TURN -> advance();
        }
    }

    private void made() {
        count = 0;
        extent.unmake(this);
        advance();
        extent.wake();
    }
}
