package dev.ferry.testkit;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** A file system in memory for a test alone, so small that it can be filled to the last byte. Needs root. One thread. */
public final class SmallDisk implements AutoCloseable {
    private static final int BLOCK_BYTES = 4096;

    private final Path path;
    private final Path filler;

    private SmallDisk(Path path) {
        this.path = path;
        this.filler = path.resolve("filler");
    }

    /**
     * Makes and mounts it; skips the test where that is not possible.
     *
     * @param directory takes the mount point
     */
    public static SmallDisk of(Path directory, long sizeBytes) throws IOException {
        Requires.program("mount");
        Path path = Files.createTempDirectory(directory, "small");
        Stranger mounted = Stranger.run("mount", "-t", "tmpfs", "-o", "size=" + sizeBytes, "ferry-test", path);
        Requires.that(mounted.exitCode() == 0, "root, to mount: " + mounted.output());
        return new SmallDisk(path);
    }

    /** Where it is mounted. */
    public Path path() {
        return path;
    }

    /** Takes all the room that there is: no file grows any more. */
    public void fill() throws IOException {
        fill(0);
    }

    /** Takes the room that there is, but for about so many bytes. */
    public void fill(long leaveBytes) throws IOException {
        try (FileChannel file = FileChannel.open(
                filler, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND)) {
            while (leaveBytes == 0 || Files.getFileStore(path).getUnallocatedSpace() > leaveBytes) {
                try {
                    int _ = file.write(ByteBuffer.allocate(BLOCK_BYTES));
                } catch (IOException full) {
                    return;
                }
            }
        }
    }

    /** There is room again. */
    public void empty() throws IOException {
        Files.deleteIfExists(filler);
    }

    @Override
    public void close() {
        Stranger _ = Stranger.run("umount", "-l", path);
    }
}
