package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Says that a command makes a file, and which one: a hidden file beside it, {@code .NAME.maker}, locked for as long as the command
 * lives. One that is there and not locked was left by a command that was killed; what it names is that one's, and nobody's now.
 */
final class MakersMark implements AutoCloseable {
    private static final String SUFFIX = ".maker";
    private static final int TRIES = 100;
    private static final int TEXT_BYTES_MAX = 256;

    private final Path path;
    private final FileChannel channel;
    private final @Nullable String left;

    private MakersMark(Path path, FileChannel channel, @Nullable String left) {
        this.path = path;
        this.channel = channel;
        this.left = left;
    }

    /**
     * Takes the mark of a file.
     *
     * @throws NoSuchFileException if it has no directory
     * @throws IOException if a command that lives makes this file
     */
    static MakersMark take(Path file) throws IOException {
        Path path = file.resolveSibling("." + file.getFileName() + SUFFIX);
        for (int i = 0; i < TRIES; i++) {
            boolean fresh = create(path);
            MakersMark mark = opened(path, fresh);
            if (mark != null) {
                return mark;
            }
        }
        throw new IOException("other commands make " + file + " again and again");
    }

    private static boolean create(Path path) throws IOException {
        var ownerOnly = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        Set<OpenOption> exclusively =
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        try (FileChannel _ = FileChannel.open(path, exclusively, ownerOnly)) {
            return true;
        } catch (FileAlreadyExistsException there) {
            return false;
        }
    }

    /** Null: whoever had it has taken it away meanwhile. Nothing here opens it twice: a lock goes with the first close. */
    private static @Nullable MakersMark opened(Path path, boolean fresh) throws IOException {
        FileChannel channel = null;
        boolean taken = false;
        try {
            String before = DiskFiles.identityOf(path);
            channel = FileChannel.open(
                    path, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
            Lock lock = lock(channel);
            if (lock == Lock.ANOTHERS) {
                throw new IOException("another command makes " + shown(path) + " at this moment");
            }
            taken = DiskFiles.isFile(path, before);
            boolean nobodys = !fresh && lock == Lock.OURS;
            return taken ? new MakersMark(path, channel, nobodys ? text(channel) : null) : null;
        } catch (NoSuchFileException gone) {
            return null;
        } catch (BlockException failed) {
            if (failed.kind() == ErrorKind.NOT_FOUND) {
                return null;
            }
            throw failed;
        } finally {
            if (channel != null && !taken) {
                channel.close();
            }
        }
    }

    private enum Lock {
        OURS,
        ANOTHERS,
        /** The file system has no locks: nobody can tell whether a command lives, and what one has left stays. */
        NONE
    }

    private static Lock lock(FileChannel channel) {
        try {
            return channel.tryLock() == null ? Lock.ANOTHERS : Lock.OURS;
        } catch (OverlappingFileLockException anotherThread) {
            return Lock.ANOTHERS;
        } catch (IOException noLocks) {
            return Lock.NONE;
        }
    }

    private static Path shown(Path path) {
        String name = path.getFileName().toString();
        return path.resolveSibling(name.substring(1, name.length() - SUFFIX.length()));
    }

    private static String text(FileChannel channel) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(TEXT_BYTES_MAX);
        int _ = channel.read(bytes, 0);
        return new String(bytes.array(), 0, bytes.position(), StandardCharsets.US_ASCII);
    }

    /** What a command that was killed said of the file that it made; empty if it had not got so far; null: nobody was killed. */
    @Nullable
    String left() {
        return left;
    }

    /** Says which file is made. */
    void of(String identity) throws IOException {
        int _ = channel.truncate(0).write(ByteBuffer.wrap(identity.getBytes(StandardCharsets.US_ASCII)), 0);
        channel.force(true);
    }

    @Override
    public void close() throws IOException {
        Files.deleteIfExists(path);
        channel.close();
    }
}
