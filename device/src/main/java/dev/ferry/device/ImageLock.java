package dev.ferry.device;

import dev.ferry.reactor.Errno;
import dev.ferry.reactor.Linux;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Keeps two programs from writing one image, in the way that QEMU does it, so that each respects the other: a lock on
 * byte 100 + p of the file says "I use permission p", one on byte 200 + p "nobody else may"; permission 1 is to write, 3
 * to resize. They are open file description locks (fcntl(2), F_OFD_SETLK), shared ones, and go when the file is closed.
 *
 * <p>A file system without such locks is not an error: then there is no protection, as there is none with QEMU.
 */
final class ImageLock {
    private static final int F_OFD_GETLK = 36;
    private static final int F_OFD_SETLK = 37;
    private static final short F_RDLCK = 0;
    private static final short F_WRLCK = 1;
    private static final short F_UNLCK = 2;
    private static final int USED = 100;
    private static final int REFUSED = 200;
    private static final int WRITE = 1;
    private static final int RESIZE = 3;

    private ImageLock() {}

    /**
     * Takes the locks of a sole writer.
     *
     * @return 0, or {@link Errno#EBUSY} below zero if another program writes this file, or lets nobody else do so
     */
    static int takeForWriting(int file) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment lock = arena.allocate(32, 8);
            int[] mine = {USED + WRITE, USED + RESIZE, REFUSED + WRITE, REFUSED + RESIZE};
            for (int at : mine) {
                if (call(file, F_OFD_SETLK, lock, F_RDLCK, at) == -Errno.EAGAIN) {
                    return -Errno.EBUSY;
                }
            }
            int[] theirs = {REFUSED + WRITE, REFUSED + RESIZE, USED + WRITE, USED + RESIZE};
            for (int at : theirs) {
                int result = call(file, F_OFD_GETLK, lock, F_WRLCK, at);
                if (result == 0 && lock.get(ValueLayout.JAVA_SHORT, 0) != F_UNLCK) {
                    return -Errno.EBUSY;
                }
            }
            return 0;
        }
    }

    private static int call(int file, int command, MemorySegment lock, short type, int at) {
        lock.fill((byte) 0);
        lock.set(ValueLayout.JAVA_SHORT, 0, type);
        lock.set(ValueLayout.JAVA_LONG, 8, at);
        lock.set(ValueLayout.JAVA_LONG, 16, 1);
        return Linux.fcntl(file, command, lock.address());
    }
}
