package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** A disk that keeps the ends of requests to itself while it is told to. Lives on its loop but for its counts. */
final class HeldDisk implements BlockDevice {
    private record End(Completion completion, @Nullable BlockError error) {}

    private final BlockDevice next;
    private final List<End> ends = new ArrayList<>();
    private boolean holding;
    private volatile int held;
    private final AtomicInteger reads = new AtomicInteger();

    HeldDisk(BlockDevice next) {
        this.next = next;
    }

    void hold() {
        holding = true;
    }

    /** Ends what is held, and holds no more. */
    void release() {
        holding = false;
        List<End> due = List.copyOf(ends);
        ends.clear();
        held = 0;
        due.forEach(end -> end.completion.complete(end.error));
    }

    /** How many requests wait here. Any thread. */
    int held() {
        return held;
    }

    /** How many reads have come. Any thread. */
    int reads() {
        return reads.get();
    }

    private Completion keep(Completion completion) {
        return error -> {
            if (holding) {
                ends.add(new End(completion, error));
                held = ends.size();
            } else {
                completion.complete(error);
            }
        };
    }

    @Override
    public Geometry geometry() {
        return next.geometry();
    }

    @Override
    public Capabilities capabilities() {
        return next.capabilities();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        reads.incrementAndGet();
        next.read(offset, buffer, at, length, keep(completion));
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, keep(completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, keep(completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, keep(completion));
    }

    @Override
    public void flush(Completion completion) {
        next.flush(keep(completion));
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        next.extents(offset, length, sink, keep(completion));
    }

    @Override
    public void close(Completion completion) {
        next.close(completion);
    }
}
