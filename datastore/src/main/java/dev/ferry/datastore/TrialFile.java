package dev.ferry.datastore;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A file in a datastore that is there to find out what can be done with files there, and is gone when it is closed. What a
 * crash leaves of it is known by its name, {@code .ferry-*.trial}, and taken away by {@link #sweep}.
 *
 * <p>Thread: one at a time. Calls block.
 */
public final class TrialFile implements AutoCloseable {
    private static final String PREFIX = ".ferry-";
    private static final String SUFFIX = ".trial";

    private final Datastore datastore;
    private Path path;

    private TrialFile(Datastore datastore, Path path) {
        this.datastore = datastore;
        this.path = path;
    }

    /**
     * Makes one.
     *
     * @param name tells it from others that are there at the same time
     * @throws BlockException if the datastore takes no new file
     */
    static TrialFile create(Datastore datastore, String name) throws BlockException {
        Path path = datastore.directory().resolve(PREFIX + name + SUFFIX);
        try {
            NewDisk.make(path, 0);
            return new TrialFile(datastore, path);
        } catch (IOException e) {
            throw datastore.failure("make a file", e);
        }
    }

    /** Where it is. */
    public Path path() {
        return path;
    }

    /**
     * Makes it as long as a disk, all holes.
     *
     * @throws BlockException of kind {@link ErrorKind#UNSUPPORTED} if files there cannot be so long
     */
    public void extend(long sizeBytes) throws BlockException {
        try (FileChannel channel =
                FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
            NewDisk.extend(channel, sizeBytes);
        } catch (IOException e) {
            throw datastore.failure(
                    ErrorKind.UNSUPPORTED, "make a file of " + sizeBytes + " bytes", String.valueOf(e.getMessage()));
        }
    }

    /** Gives it another name, in the way in which a disk gets its own, and makes that durable. */
    public void rename() throws BlockException {
        String name = String.valueOf(path.getFileName());
        Path other = path.resolveSibling(name.substring(0, name.length() - SUFFIX.length()) + "-2" + SUFFIX);
        try {
            DiskFiles.link(path, other);
            Files.deleteIfExists(path);
            path = other;
            DiskFiles.syncDirectory(datastore.directory());
        } catch (IOException e) {
            throw datastore.failure("rename a file", e);
        }
    }

    /** True if somebody, this process too, has it open for writing and has locked it. */
    public boolean locked() throws BlockException {
        try {
            return inUse(path);
        } catch (IOException e) {
            throw datastore.failure("look at a lock", e);
        }
    }

    /** Takes it away, by whichever name it has. */
    @Override
    public void close() throws BlockException {
        try {
            GradualDelete.delete(path);
        } catch (IOException e) {
            throw datastore.failure("delete a file", e);
        }
    }

    /** Takes away what is left of trials that nobody is at work on. Gives how many there were. */
    static int sweep(Path directory) throws IOException {
        int swept = 0;
        try (DirectoryStream<Path> left = Files.newDirectoryStream(directory, PREFIX + "*" + SUFFIX)) {
            for (Path path : left) {
                if (Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS) && !inUse(path)) {
                    swept += GradualDelete.delete(path) ? 1 : 0;
                }
            }
        }
        return swept;
    }

    /** Another daemon may share the directory: what it has open it has locked, as it locks disks. */
    private static boolean inUse(Path path) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
                FileLock lock = channel.tryLock()) {
            return lock == null;
        } catch (OverlappingFileLockException mine) {
            return true;
        }
    }
}
