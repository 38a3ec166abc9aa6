package dev.ferry.migration;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.PassingDevice;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** A file that fails or hangs when the test says so. The mood is set from any thread, all else is on the loop. */
final class FlakyDevice extends PassingDevice {
    enum Mood {
        WELL,
        NO_READS,
        NO_CHANGES,
        FULL,
        NO_FLUSHES,
        NO_OFFLOAD,
        FORGETFUL,
        HOLDS_WRITES,
        SILENT
    }

    private final AtomicBoolean closed = new AtomicBoolean();
    private final List<Runnable> held = new ArrayList<>();
    private volatile int withoutAnswer;
    private final AtomicInteger storeCopies = new AtomicInteger();
    private volatile boolean ended;
    volatile Mood mood = Mood.WELL;

    FlakyDevice(BlockDevice next) {
        super(next);
    }

    /** On the loop: answers what was left without an answer. */
    void wakeUp() {
        wakeUp(Mood.WELL);
    }

    private void wakeUp(Mood then) {
        mood = then;
        List<Runnable> late = List.copyOf(held);
        held.clear();
        withoutAnswer = 0;
        late.forEach(Runnable::run);
    }

    /** On the loop: fails the writes that were held, and every change after them. */
    void refuseChanges() {
        wakeUp(Mood.NO_CHANGES);
    }

    /** Requests that were left without an answer; any thread. */
    int withoutAnswer() {
        return withoutAnswer;
    }

    private void hold(Runnable again) {
        held.add(again);
        withoutAnswer = held.size();
    }

    private boolean fails(String operation, long offset, long length, Completion completion, Runnable again) {
        ErrorKind kind = kindFor(operation);
        if (mood == Mood.SILENT) {
            hold(again);
            return true;
        }
        if (kind != null) {
            completion.complete(BlockError.of(
                    kind,
                    "flaky",
                    operation,
                    offset,
                    length,
                    kind == ErrorKind.NO_SPACE ? "no space left on device" : "input/output error"));
            return true;
        }
        return false;
    }

    private @Nullable ErrorKind kindFor(String operation) {
        return switch (mood) {
            case WELL, SILENT, FORGETFUL, HOLDS_WRITES -> null;
            case NO_OFFLOAD -> operation.equals("copy") ? ErrorKind.UNSUPPORTED : null;
            case NO_READS -> operation.equals("read") ? ErrorKind.IO : null;
            case NO_CHANGES -> operation.equals("write") || operation.equals("zero") ? ErrorKind.IO : null;
            case FULL -> operation.equals("write") ? ErrorKind.NO_SPACE : null;
            case NO_FLUSHES -> operation.equals("flush") ? ErrorKind.IO : null;
        };
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (!fails("read", offset, length, completion, () -> next.read(offset, buffer, at, length, completion))) {
            next.read(offset, buffer, at, length, completion);
        }
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        Runnable again = () -> next.write(offset, buffer, at, length, flags, completion);
        if (mood == Mood.FORGETFUL) {
            completion.complete(null);
        } else if (mood == Mood.HOLDS_WRITES) {
            hold(() -> write(offset, buffer, at, length, flags, completion));
        } else if (!fails("write", offset, length, completion, again)) {
            next.write(offset, buffer, at, length, flags, completion);
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (!fails("zero", offset, length, completion, () -> next.writeZeroes(offset, length, flags, completion))) {
            next.writeZeroes(offset, length, flags, completion);
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (!fails("zero", offset, length, completion, () -> next.discard(offset, length, flags, completion))) {
            next.discard(offset, length, flags, completion);
        }
    }

    @Override
    public void flush(Completion completion) {
        if (!fails("flush", -1, -1, completion, () -> next.flush(completion))) {
            next.flush(completion);
        }
    }

    @Override
    public BlockDevice store() {
        return next.store();
    }

    @Override
    public int offloadUnitBytes(BlockDevice source) {
        return next.offloadUnitBytes(source);
    }

    @Override
    public void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        Completion counted = error -> {
            storeCopies.decrementAndGet();
            completion.complete(error);
        };
        storeCopies.incrementAndGet();
        if (ended) {
            storeCopies.decrementAndGet();
        } else if (!fails("copy", offset, length, counted, () -> next.copyFrom(source, offset, length, counted))) {
            next.copyFrom(source, offset, length, counted);
        }
    }

    /**
     * The process is about to end: no copy by the store begins any more. One that is under way has the file until it ends.
     *
     * @return true if none is under way
     */
    boolean endStoreCopies() {
        ended = true;
        return mood == Mood.SILENT || storeCopies.get() == 0;
    }

    @Override
    public long lengthBytes() {
        return next.lengthBytes();
    }

    @Override
    public void resize(long lengthBytes, Completion completion) {
        next.resize(lengthBytes, completion);
    }

    /** Closes the file, if nobody has. */
    @Override
    public void close(Completion completion) {
        if (closed.getAndSet(true)) {
            completion.complete(null);
        } else {
            next.close(completion);
        }
    }
}
