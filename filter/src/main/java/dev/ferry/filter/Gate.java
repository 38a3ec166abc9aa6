package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The place where a stack is changed while it is in use, and where changes are put in order.
 *
 * <p><b>Order.</b> Writes, zeroes and discards whose ranges overlap, rounded out to a granularity, are never in flight
 * together below the gate; later ones wait in the order of arrival. Everything else passes untouched: other changes,
 * reads, flushes.
 *
 * <p><b>Quiescing.</b> From {@link #quiesce} on nothing more goes below; when what is there has ended, the stack below may
 * be {@link #replace}d. {@link #resume} lets what has come in meanwhile go on, in order. What waits is bounded by what
 * clients have in flight, and by {@link #IN_FLIGHT_MAX}.
 *
 * <p>Thread: the loop's. In the steady state a request allocates nothing.
 */
public final class Gate implements BlockDevice {
    /** Requests at once, below the gate and waiting; one more fails with {@link ErrorKind#NO_MEMORY}. */
    public static final int IN_FLIGHT_MAX = 1 << 16;

    /** Blocks of most disks; changes that share one are kept apart, so that read-modify-write below is safe. */
    public static final int GRANULARITY_BYTES = 4096;

    private final Loop loop;
    private final int granularityBytes;
    private final Geometry geometry;
    private final Capabilities capabilities;
    private BlockDevice next;
    private int inFlight;
    private int admitted;
    private boolean quiesced;
    private @Nullable Runnable drained;
    private boolean dispatching;
    /** Changes below the gate or waiting, in the order of arrival. */
    private @Nullable Request firstChange;

    private @Nullable Request lastChange;
    /** Requests that nothing holds back but the gate itself. */
    private @Nullable Request firstReady;

    private @Nullable Request lastReady;
    private @Nullable Request free;

    /** A gate that keeps changes apart that share a block of {@link #GRANULARITY_BYTES}. */
    public Gate(Loop loop, BlockDevice next) {
        this(loop, next, GRANULARITY_BYTES);
    }

    /** @param granularityBytes what ranges are rounded out to before they are compared, a power of two */
    public Gate(Loop loop, BlockDevice next, int granularityBytes) {
        Invariant.that(Integer.bitCount(granularityBytes) == 1, "granularity of a gate");
        this.loop = loop;
        this.next = next;
        this.granularityBytes = granularityBytes;
        this.geometry = next.geometry();
        this.capabilities = next.capabilities();
    }

    // ---- changing what is below

    /** The loop of this disk. */
    public Loop loop() {
        return loop;
    }

    public BlockDevice next() {
        return next;
    }

    public boolean quiesced() {
        return quiesced;
    }

    /** Requests below the gate. */
    public int inFlight() {
        return inFlight;
    }

    /** Requests that wait, for others that they overlap or for {@link #resume}. */
    public int waiting() {
        return admitted - inFlight;
    }

    /**
     * Holds back every request from now on.
     *
     * @param whenDrained run when no request is below any more, perhaps before this returns; not run if {@link #resume}
     *     comes first
     */
    public void quiesce(Runnable whenDrained) {
        Invariant.that(!quiesced, "gate quiesced twice");
        quiesced = true;
        drained = whenDrained;
        checkDrained();
    }

    /** Lets requests pass again, drained or not. */
    public void resume() {
        Invariant.that(quiesced, "gate resumed that was not quiesced");
        quiesced = false;
        drained = null;
        dispatchReady();
    }

    /** Changes what is below. The gate is quiesced and drained; size and blocks stay what they were. */
    public void replace(BlockDevice other) {
        Invariant.that(quiesced && inFlight == 0, "stack changed under requests in flight");
        Geometry shape = other.geometry();
        Invariant.that(
                shape.sizeBytes() == geometry.sizeBytes() && shape.blockSizeBytes() <= geometry.blockSizeBytes(),
                "stack changed to one of another shape");
        next = other;
    }

    private void checkDrained() {
        Runnable whenDrained = drained;
        if (quiesced && inFlight == 0 && whenDrained != null) {
            drained = null;
            whenDrained.run();
        }
    }

    // ---- the device

    @Override
    public Geometry geometry() {
        return geometry;
    }

    /** Those of the stack that the gate was made with: they are promised to clients. */
    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        Request request = admit(Request.READ, offset, length, 0, completion);
        if (request != null) {
            request.buffer = buffer;
            request.at = at;
            pass(request);
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        Request request = admit(Request.WRITE, offset, length, flags, completion);
        if (request != null) {
            request.buffer = buffer;
            request.at = at;
            passChange(request);
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        Request request = admit(Request.ZERO, offset, length, flags, completion);
        if (request != null) {
            passChange(request);
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        Request request = admit(Request.DISCARD, offset, length, flags, completion);
        if (request != null) {
            passChange(request);
        }
    }

    @Override
    public void flush(Completion completion) {
        Request request = admit(Request.FLUSH, 0, 0, 0, completion);
        if (request != null) {
            pass(request);
        }
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        Request request = admit(Request.EXTENTS, offset, length, 0, completion);
        if (request != null) {
            request.sink = sink;
            pass(request);
        }
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return !quiesced && next.locate(offset, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        next.located(offset, length, nanos);
    }

    @Override
    public void close(Completion completion) {
        Invariant.that(admitted == 0, "gate closed under requests in flight");
        next.close(completion);
    }

    // ---- order

    private @Nullable Request admit(int kind, long offset, long length, int flags, Completion completion) {
        if (admitted == IN_FLIGHT_MAX) {
            completion.complete(BlockError.of(
                    ErrorKind.NO_MEMORY, "gate", "request", offset, length, "too many requests in flight"));
            return null;
        }
        admitted++;
        Request request = free;
        if (request == null) {
            request = new Request();
        } else {
            free = request.next;
            request.next = null;
        }
        request.kind = kind;
        request.offset = offset;
        request.length = length;
        request.flags = flags;
        request.completion = completion;
        return request;
    }

    private void pass(Request request) {
        if (quiesced) {
            ready(request);
        } else {
            inFlight++;
            request.submit(next);
        }
    }

    private void passChange(Request request) {
        long mask = granularityBytes - 1L;
        request.from = request.offset & ~mask;
        request.end = (request.offset + request.length + mask) & ~mask;
        request.blockers = 0;
        for (Request earlier = firstChange; earlier != null; earlier = earlier.next) {
            if (earlier.overlaps(request)) {
                request.blockers++;
            }
        }
        Request before = lastChange;
        request.previous = before;
        if (before == null) {
            firstChange = request;
        } else {
            before.next = request;
        }
        lastChange = request;
        if (request.blockers == 0) {
            pass(request);
        }
    }

    /** Takes a change that has ended out of the list and finds those that waited for it alone. */
    private void unblock(Request ended) {
        Request before = ended.previous;
        Request after = ended.next;
        if (before == null) {
            firstChange = after;
        } else {
            before.next = after;
        }
        if (after == null) {
            lastChange = before;
        } else {
            after.previous = before;
        }
        ended.previous = null;
        ended.next = null;
        for (Request later = after; later != null; later = later.next) {
            if (later.blockers > 0 && later.overlaps(ended) && --later.blockers == 0) {
                ready(later);
            }
        }
    }

    private void ready(Request request) {
        request.nextReady = null;
        Request before = lastReady;
        if (before == null) {
            firstReady = request;
        } else {
            before.nextReady = request;
        }
        lastReady = request;
    }

    /** A cycle and not a recursion, though requests may end inline and make others ready. */
    private void dispatchReady() {
        if (dispatching) {
            return;
        }
        dispatching = true;
        for (Request request = firstReady; request != null && !quiesced; request = firstReady) {
            firstReady = request.nextReady;
            if (firstReady == null) {
                lastReady = null;
            }
            request.nextReady = null;
            inFlight++;
            request.submit(next);
        }
        dispatching = false;
    }

    private void ended(Request request, @Nullable BlockError error) {
        inFlight--;
        admitted--;
        if (request.isChange()) {
            unblock(request);
        }
        Completion completion = Objects.requireNonNull(request.completion);
        request.forget();
        request.next = free;
        free = request;
        completion.complete(error);
        if (firstReady != null && !quiesced) {
            dispatchReady();
        }
        if (quiesced) {
            checkDrained();
        }
    }

    /** A request, below the gate or waiting. Used again. */
    private final class Request implements Completion {
        static final int READ = 0;
        static final int FLUSH = 1;
        static final int EXTENTS = 2;
        static final int WRITE = 3;
        static final int ZERO = 4;
        static final int DISCARD = 5;

        private int kind;
        private long offset;
        private long length;
        private int flags;
        private int at;
        private @Nullable IoBuffer buffer;
        private @Nullable ExtentSink sink;
        private @Nullable Completion completion;
        private long from;
        private long end;
        /** Earlier changes that this one overlaps. */
        private int blockers;

        private @Nullable Request previous;
        private @Nullable Request next;
        private @Nullable Request nextReady;

        boolean isChange() {
            return kind >= WRITE;
        }

        boolean overlaps(Request other) {
            return from < other.end && other.from < end;
        }

        void submit(BlockDevice below) {
            switch (kind) {
                case READ -> below.read(offset, bytes(), at, (int) length, this);
                case WRITE -> below.write(offset, bytes(), at, (int) length, flags, this);
                case ZERO -> below.writeZeroes(offset, length, flags, this);
                case DISCARD -> below.discard(offset, length, flags, this);
                case FLUSH -> below.flush(this);
                default -> below.extents(offset, length, Objects.requireNonNull(sink), this);
            }
        }

        private IoBuffer bytes() {
            return Objects.requireNonNull(buffer);
        }

        void forget() {
            buffer = null;
            sink = null;
            completion = null;
        }

        @Override
        public void complete(@Nullable BlockError error) {
            ended(this, error);
        }
    }
}
