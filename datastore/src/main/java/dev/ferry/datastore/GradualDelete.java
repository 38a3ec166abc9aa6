package dev.ferry.datastore;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.locks.LockSupport;

/**
 * Deletes a file and gives its room back in slices, with a rest as long as the work after each. A file system that
 * discards what it frees, or has a long journal to write for it, otherwise stops every guest on it until the whole file is
 * gone.
 *
 * <p>The name goes first, so that a crash leaves nothing: what is left of a file without a name goes with the last
 * descriptor. A file with other names keeps its content.
 *
 * <p>Thread: the caller's, which waits.
 */
final class GradualDelete {
    private static final long SLICE_BYTES_MIN = 1L << 20;
    private static final long SLICE_BYTES_MAX = 1L << 30;
    private static final long SLICE_NANOS = 2_000_000;

    private GradualDelete() {}

    /** @return whether it was there */
    static boolean delete(Path file) throws IOException {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                || !Files.isWritable(file)
                || !Integer.valueOf(1).equals(Files.getAttribute(file, "unix:nlink", LinkOption.NOFOLLOW_LINKS))) {
            return Files.deleteIfExists(file);
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
            boolean there = Files.deleteIfExists(file);
            if (there) {
                free(channel);
            }
            return there;
        }
    }

    private static void free(FileChannel channel) throws IOException {
        long slice = SLICE_BYTES_MIN;
        for (long size = channel.size(); size > 0; ) {
            size = Math.max(0, size - slice);
            long begin = System.nanoTime();
            channel.truncate(size);
            long took = System.nanoTime() - begin;
            slice = took > SLICE_NANOS ? Math.max(SLICE_BYTES_MIN, slice / 2) : Math.min(SLICE_BYTES_MAX, slice * 2);
            LockSupport.parkNanos(took);
        }
    }
}
