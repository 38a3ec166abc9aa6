package dev.ferry.device;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A request of a {@link FileDevice} that goes through the loop; used again. A transfer that the kernel did in part goes
 * on where it stopped.
 */
final class FileRequest extends IoOperation {
    /** What the request is; gives an error its name. */
    enum Kind {
        READ("read"),
        WRITE("write"),
        ZERO("zero"),
        DISCARD("discard"),
        FLUSH("flush");

        private final String word;

        Kind(String word) {
            this.word = word;
        }
    }

    private final FileDevice device;
    private final EventLoop loop;
    private final int file;
    private final String name;

    @Nullable
    FileRequest nextFree;

    private Kind kind = Kind.FLUSH;
    private long offset;
    private long length;
    private @Nullable Completion completion;
    /** Of a transfer: held until its end, lest the garbage collector free what the kernel works on. */
    private @Nullable IoBuffer memory;

    private int memoryFrom;
    private int done;
    private int mode;
    private boolean allocateNext;

    FileRequest(FileDevice device, EventLoop loop, int file, String name) {
        this.device = device;
        this.loop = loop;
        this.file = file;
        this.name = name;
    }

    void begin(Kind newKind, long newOffset, long newLength, Completion newCompletion) {
        kind = newKind;
        offset = newOffset;
        length = newLength;
        completion = newCompletion;
        allocateNext = false;
    }

    /** Reads or writes from {@code alreadyDone} on. */
    void transfer(IoBuffer buffer, int at, int alreadyDone) {
        memory = buffer;
        memoryFrom = at;
        done = alreadyDone;
        goOn();
    }

    private void goOn() {
        int rest = (int) length - done;
        long address = Objects.requireNonNull(memory).address() + memoryFrom + done;
        if (kind == Kind.READ) {
            loop.read(file, offset + done, address, rest, this);
        } else {
            loop.write(file, offset + done, address, rest, this);
        }
    }

    void allocate(int newMode) {
        mode = newMode;
        loop.allocate(file, mode, offset, length, this);
    }

    void punchThenAllocate() {
        allocateNext = true;
        allocate(Linux.FALLOC_PUNCH_HOLE | Linux.FALLOC_KEEP_SIZE);
    }

    void flush() {
        loop.dataSync(file, this);
    }

    @Override
    protected void completed(int result) {
        switch (kind) {
            case READ, WRITE -> transferred(result);
            case ZERO, DISCARD -> allocated(result);
            case FLUSH -> end(result);
        }
    }

    private void transferred(int result) {
        if (result == -Errno.EINTR || result == -Errno.EAGAIN) {
            goOn();
        } else if (result < 0) {
            end(result);
        } else if (result == 0) {
            // The file ends before the disk does: somebody has cut it short.
            end(-Errno.EIO);
        } else {
            done += result;
            if (done < length) {
                goOn();
            } else {
                end(0);
            }
        }
    }

    private void allocated(int result) {
        if (result == -Errno.EINTR) {
            loop.allocate(file, mode, offset, length, this);
        } else if (result == -Errno.EOPNOTSUPP && (mode & Linux.FALLOC_ZERO_RANGE) != 0) {
            device.noRangesOfZeroes();
            punchThenAllocate();
        } else if (result == 0 && allocateNext) {
            allocateNext = false;
            allocate(Linux.FALLOC_KEEP_SIZE);
        } else {
            end(result);
        }
    }

    private void end(int result) {
        BlockError error = result < 0 ? FileErrors.of(result, name, kind.word, offset, length) : null;
        Completion ended = Objects.requireNonNull(completion);
        completion = null;
        memory = null;
        if (kind == Kind.ZERO || kind == Kind.DISCARD) {
            device.holesMade(offset, length);
        }
        device.recycle(this);
        ended.complete(error);
    }
}
