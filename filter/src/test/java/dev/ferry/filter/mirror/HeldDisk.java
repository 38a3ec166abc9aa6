package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.PassingDevice;
import java.util.ArrayList;
import java.util.List;

/** A disk whose requests a test ends by hand, and which says what it was asked. */
final class HeldDisk extends PassingDevice {
    private final MemoryDisk disk;
    private final List<Runnable> held = new ArrayList<>();
    private final List<Completion> completions = new ArrayList<>();
    final List<String> asked = new ArrayList<>();
    boolean holds;

    HeldDisk(long sizeBytes) {
        this(new MemoryDisk(sizeBytes));
    }

    private HeldDisk(MemoryDisk disk) {
        super(disk);
        this.disk = disk;
    }

    MemoryDisk disk() {
        return disk;
    }

    int inFlight() {
        return held.size();
    }

    /** Ends the oldest request. */
    void endNext() {
        completions.removeFirst();
        held.removeFirst().run();
    }

    /** Ends the youngest request. */
    void endLast() {
        completions.removeLast();
        held.removeLast().run();
    }

    void failNext() {
        held.removeFirst();
        completions.removeFirst().complete(BlockError.of(ErrorKind.IO, "held", "request", "failed by hand"));
    }

    private void ask(String what, Completion completion, Runnable request) {
        asked.add(what);
        if (holds) {
            held.add(request);
            completions.add(completion);
        } else {
            request.run();
        }
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        ask("read " + offset + "+" + length, completion, () -> disk.read(offset, buffer, at, length, completion));
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        String what = "write " + offset + "+" + length + (flags == 0 ? "" : " flags " + flags);
        ask(what, completion, () -> disk.write(offset, buffer, at, length, flags, completion));
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        String what = "zero " + offset + "+" + length + (flags == 0 ? "" : " flags " + flags);
        ask(what, completion, () -> disk.writeZeroes(offset, length, flags, completion));
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        ask("discard " + offset + "+" + length, completion, () -> disk.discard(offset, length, flags, completion));
    }

    @Override
    public void flush(Completion completion) {
        ask("flush", completion, () -> disk.flush(completion));
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        ask("extents " + offset + "+" + length, completion, () -> disk.extents(offset, length, sink, completion));
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        asked.add("locate " + offset + "+" + length);
        return true;
    }
}
