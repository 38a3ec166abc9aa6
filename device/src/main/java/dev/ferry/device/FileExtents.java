package dev.ferry.device;

import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;

/**
 * Asks a file system where a file has data: lseek(2) with SEEK_DATA and SEEK_HOLE, on a worker thread, because a file
 * in many pieces takes its time, and so does a long run of data in memory, whose end is found page by page. How far the last
 * run goes is left with {@link KnownData}. An answer has at most {@link #MOST} extents and then stops early.
 */
final class FileExtents extends IoOperation implements EventLoop.BlockingWork {
    private static final int MOST = 1024;

    private final int file;
    private final KnownData known;
    private final long age;
    private final long from;
    /** From where on it is asked: data up to there is known. */
    private final long begun;

    private final long to;
    private final long[] ends = new long[MOST];
    private final boolean[] holes = new boolean[MOST];
    private int count;
    private long runFrom;
    private long runTo;
    private String name = "";
    private ExtentSink sink = (offset, length, state) -> {};
    private Completion completion = error -> {};

    FileExtents(int file, KnownData known, long offset, long length) {
        this.file = file;
        this.known = known;
        this.age = known.age();
        this.from = offset;
        this.to = offset + length;
        this.begun = known.endFrom(offset);
        if (begun > from) {
            ends[0] = begun;
            count = 1;
        }
    }

    void find(EventLoop loop, String device, ExtentSink newSink, Completion newCompletion) {
        name = device;
        sink = newSink;
        completion = newCompletion;
        loop.offload(this, this);
    }

    @Override
    public int run() {
        long position = begun;
        while (position < to && count < MOST) {
            long data = Linux.seek(file, position, Linux.SEEK_DATA);
            if (data == -Errno.ENXIO) {
                data = to;
            }
            if (data < 0) {
                return (int) data;
            }
            boolean hole = data > position;
            long end = hole ? data : Linux.seek(file, position, Linux.SEEK_HOLE);
            if (end < 0) {
                return (int) end;
            }
            if (!hole) {
                runFrom = position;
                runTo = end;
            }
            position = Math.min(end, to);
            boolean goesOn = count > 0 && holes[count - 1] == hole;
            count += goesOn ? 0 : 1;
            ends[count - 1] = position;
            holes[count - 1] = hole;
        }
        return 0;
    }

    @Override
    protected void completed(int result) {
        if (result < 0) {
            completion.complete(FileErrors.of(result, name, "extents", from, to - from));
            return;
        }
        if (runTo > to) {
            known.learn(age, runFrom, runTo);
        }
        long position = from;
        for (int i = 0; i < count; i++) {
            sink.extent(position, ends[i] - position, holes[i] ? ExtentSink.HOLE | ExtentSink.ZERO : 0);
            position = ends[i];
        }
        completion.complete(null);
    }
}
