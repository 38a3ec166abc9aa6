package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.PassingDevice;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** A disk that keeps the ends of requests to itself while it is told to. Lives on its loop but for its counts. */
final class HeldDisk extends PassingDevice {
    private record End(Completion completion, @Nullable BlockError error) {}

    private final List<End> ends = new ArrayList<>();
    private boolean holding;
    private volatile int held;
    private final AtomicInteger reads = new AtomicInteger();

    HeldDisk(BlockDevice next) {
        super(next);
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

    @Override
    protected Completion ending(Completion completion) {
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
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        reads.incrementAndGet();
        super.read(offset, buffer, at, length, completion);
    }
}
