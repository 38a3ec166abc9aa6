package dev.ferry.device;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.locks.LockSupport;

/**
 * Keeps two programs from writing one image, in the way that QEMU does it, so that each respects the other: a lock on
 * byte 100 + p of the file says "I use permission p", one on byte 200 + p "nobody else may"; permission 1 is to write, 3
 * to resize. They are open file description locks (fcntl(2), F_OFD_SETLK), shared ones.
 *
 * <p>They go with the last reference to the open file, which may be later than its close: a worker of io_uring lets go of
 * a file only after the request's completion was seen, a child between fork and exec holds all of its parent's files, and
 * the ring of a process that was killed is taken down behind it. So who closes a file gives its locks back first ({@link
 * #release}), and who meets a lock waits for a moment.
 *
 * <p>A file system without such locks is not an error: then there is no protection, as there is none with QEMU.
 */
final class ImageLock {
    /** How long a lock may last of one who is about to let go of it, or was killed. */
    static final long PATIENCE_NANOS = 1_000_000_000;

    private static final int F_OFD_GETLK = 36;
    private static final int F_OFD_SETLK = 37;
    private static final short F_RDLCK = 0;
    private static final short F_WRLCK = 1;
    private static final short F_UNLCK = 2;
    private static final int USED = 100;
    private static final int REFUSED = 200;
    private static final int WRITE = 1;
    private static final int RESIZE = 3;
    private static final int PERMISSIONS = 100;
    private static final long PAUSE_NANOS = 10_000_000;

    private ImageLock() {}

    /**
     * Takes the locks of a sole writer. Blocks for as long as somebody else has them, within patience.
     *
     * @param patienceNanos how long to wait for a lock that may be about to go, 0 for not at all
     * @return 0, or {@link Errno#EBUSY} below zero if another program writes this file, or lets nobody else do so
     */
    static int takeForWriting(int file, long patienceNanos) {
        long waitedNanos = 0;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment lock = arena.allocate(32, 8);
            while (true) {
                if (take(file, lock)) {
                    return 0;
                }
                release(file, lock);
                if (waitedNanos >= patienceNanos) {
                    return -Errno.EBUSY;
                }
                LockSupport.parkNanos(PAUSE_NANOS);
                waitedNanos += PAUSE_NANOS;
            }
        }
    }

    /** Gives back what was taken. Harmless where nothing was. */
    static void release(int file) {
        try (Arena arena = Arena.ofConfined()) {
            release(file, arena.allocate(32, 8));
        }
    }

    private static void release(int file, MemorySegment lock) {
        call(file, F_OFD_SETLK, lock, F_UNLCK, USED, REFUSED - USED + PERMISSIONS);
    }

    private static boolean take(int file, MemorySegment lock) {
        int[] mine = {USED + WRITE, USED + RESIZE, REFUSED + WRITE, REFUSED + RESIZE};
        for (int at : mine) {
            if (call(file, F_OFD_SETLK, lock, F_RDLCK, at, 1) == -Errno.EAGAIN) {
                return false;
            }
        }
        int[] theirs = {REFUSED + WRITE, REFUSED + RESIZE, USED + WRITE, USED + RESIZE};
        for (int at : theirs) {
            int result = call(file, F_OFD_GETLK, lock, F_WRLCK, at, 1);
            if (result == 0 && lock.get(ValueLayout.JAVA_SHORT, 0) != F_UNLCK) {
                return false;
            }
        }
        return true;
    }

    private static int call(int file, int command, MemorySegment lock, short type, int at, int length) {
        lock.fill((byte) 0);
        lock.set(ValueLayout.JAVA_SHORT, 0, type);
        lock.set(ValueLayout.JAVA_LONG, 8, at);
        lock.set(ValueLayout.JAVA_LONG, 16, length);
        return Linux.fcntl(file, command, lock.address());
    }
}
