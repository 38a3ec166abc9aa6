package dev.ferry.device;

import dev.ferry.block.BlockException;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.Linux;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Copies a file that nobody changes to an empty one on this host, holes left out: inside the kernel, which shares the
 * blocks where the file system can (copy_file_range(2)), or else through a buffer that stays in the processor's cache.
 *
 * <p>Two threads take turns at pieces, so that one reads while the other writes. Does not flush. Blocks; for the control
 * plane, on a platform thread.
 */
public final class FileCopy {
    private static final long PIECE_BYTES = 16L << 20;
    private static final int BUFFER_BYTES = 256 << 10;
    private static final int THREADS = 2;

    private final String sourceName;
    private final String targetName;
    private final int source;
    private final int target;
    private final long sizeBytes;
    private final AtomicLong nextByte = new AtomicLong();
    private final AtomicLong doneBytes = new AtomicLong();
    private final AtomicInteger failure = new AtomicInteger();
    private volatile boolean inKernel = true;

    private FileCopy(String sourceName, int source, String targetName, int target, long sizeBytes) {
        this.sourceName = sourceName;
        this.source = source;
        this.targetName = targetName;
        this.target = target;
        this.sizeBytes = sizeBytes;
    }

    /** Hears how far a copy is, now and then, from any of its threads. */
    @FunctionalInterface
    public interface Listener {
        void copied(long doneBytes);
    }

    /**
     * Copies.
     *
     * @param target exists, is a regular file and reads as zeroes; its length does not matter
     * @param flush whether the copy is durable when this returns
     * @throws BlockException of the first error
     */
    public static void run(Path source, Path target, boolean flush, Listener listener)
            throws BlockException, InterruptedException {
        int from = opened(source, Linux.O_RDONLY);
        try {
            int to = opened(target, Linux.O_RDWR);
            try {
                long sizeBytes = Linux.facts(from).sizeBytes();
                FileCopy copy = new FileCopy(source.toString(), from, target.toString(), to, sizeBytes);
                copy.checked(ImageLock.takeForWriting(to, ImageLock.PATIENCE_NANOS), "open");
                copy.checked(Linux.truncate(to, sizeBytes), "resize");
                copy.run(listener);
                if (flush) {
                    copy.checked(Linux.sync(to), "flush");
                }
            } finally {
                ImageLock.release(to);
                Linux.close(to);
            }
        } finally {
            Linux.close(from);
        }
    }

    private static int opened(Path path, int flags) throws BlockException {
        int file = Linux.open(path.toString(), flags, 0);
        if (file < 0) {
            throw FileErrors.of(file, path.toString(), "open").toException();
        }
        return file;
    }

    private void checked(int result, String operation) throws BlockException {
        if (result < 0) {
            throw FileErrors.of(result, targetName, operation).toException();
        }
    }

    private void run(Listener listener) throws BlockException, InterruptedException {
        Thread[] threads = new Thread[THREADS];
        for (int i = 0; i < THREADS; i++) {
            threads[i] =
                    Thread.ofPlatform().name("ferry-copy-" + i).daemon(true).start(() -> work(listener));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        int error = failure.get();
        if (error != 0) {
            throw FileErrors.of(error, sourceName + " to " + targetName, "copy").toException();
        }
    }

    private void work(Listener listener) {
        MemorySegment buffer = null;
        DataRun run = new DataRun();
        while (failure.get() == 0) {
            long from = nextByte.getAndAdd(PIECE_BYTES);
            if (from >= sizeBytes) {
                return;
            }
            long end = Math.min(sizeBytes, from + PIECE_BYTES);
            if (!inKernel && buffer == null) {
                buffer = Linux.pages().allocate(BUFFER_BYTES, 4096);
            }
            int result = piece(run, from, end, buffer);
            if (result == -Errno.EAGAIN) {
                buffer = Linux.pages().allocate(BUFFER_BYTES, 4096);
                result = piece(run, from, end, buffer);
            }
            if (result < 0) {
                failure.compareAndSet(0, result);
            }
            listener.copied(doneBytes.addAndGet(end - from));
        }
    }

    /** Copies the data between two offsets; EAGAIN if that has to be done again with a buffer. */
    private int piece(DataRun run, long from, long end, @Nullable MemorySegment buffer) {
        long position = from;
        while (position < end) {
            int found = run.find(source, position);
            if (found < 0) {
                return found;
            }
            long data = Math.max(position, run.from);
            if (data >= end) {
                return 0;
            }
            position = Math.min(run.end, end);
            int result = buffer == null ? inKernel(data, position) : through(buffer, data, position);
            if (result < 0) {
                return result;
            }
        }
        return 0;
    }

    /**
     * The data that a thread found last. To find its end a file system may look at every page of it, so that is asked once
     * for each run and not for each piece.
     */
    private static final class DataRun {
        /** Where the data begins at or after the offset that was asked for. */
        private long from;

        private long end;
        private long asked;

        /** Finds what data there is at an offset or next after it. */
        int find(int file, long offset) {
            if (offset >= asked && offset < end) {
                return 0;
            }
            long data = Linux.seek(file, offset, Linux.SEEK_DATA);
            if (data == -Errno.ENXIO) {
                data = Long.MAX_VALUE;
            } else if (data < 0) {
                return (int) data;
            }
            long hole = data == Long.MAX_VALUE ? data : Linux.seek(file, data, Linux.SEEK_HOLE);
            if (hole < 0) {
                return (int) hole;
            }
            asked = offset;
            from = data;
            end = hole;
            return 0;
        }
    }

    private int inKernel(long from, long end) {
        long at = from;
        while (at < end) {
            long copied = Linux.copyFileRange(source, at, target, at, end - at);
            if (copied <= 0) {
                // Two file systems, or one that can't; what is wrong with the disks will show again.
                inKernel = false;
                return -Errno.EAGAIN;
            }
            at += copied;
        }
        return 0;
    }

    private int through(MemorySegment buffer, long from, long end) {
        long at = from;
        while (at < end) {
            int read = Linux.pread(source, buffer.address(), (int) Math.min(BUFFER_BYTES, end - at), at);
            if (read <= 0) {
                return read == 0 ? -Errno.EIO : read;
            }
            int written = 0;
            while (written < read) {
                int put = Linux.pwrite(target, buffer.address() + written, read - written, at + written);
                if (put <= 0) {
                    return put == 0 ? -Errno.EIO : put;
                }
                written += put;
            }
            at += read;
        }
        return 0;
    }
}
