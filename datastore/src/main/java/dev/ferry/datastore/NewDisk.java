package dev.ferry.datastore;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/**
 * A disk in the making. Its file has a hidden name until {@link #publish} links it to the real one, which fails rather
 * than replace a file that is there; so a name always stands for a complete disk, even after a power cut.
 *
 * <p>{@link #identity} tells this file from any other that may later have the same name: what takes a half-made disk
 * away again after a crash compares it before it deletes.
 *
 * <p>Thread: one at a time. Calls block.
 */
public final class NewDisk {
    private final Datastore datastore;
    private final String disk;
    private final Path file;
    private final Path partial;
    private final String identity;

    private NewDisk(Datastore datastore, String disk, Path file, Path partial, String identity) {
        this.datastore = datastore;
        this.disk = disk;
        this.file = file;
        this.partial = partial;
        this.identity = identity;
    }

    static NewDisk create(Datastore datastore, String disk, Path file, Path partial, long sizeBytes)
            throws BlockException {
        var ownerOnly = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        var exclusively = Set.of(
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE,
                LinkOption.NOFOLLOW_LINKS);
        try (FileChannel channel = FileChannel.open(partial, exclusively, ownerOnly)) {
            try {
                extend(channel, sizeBytes);
                return new NewDisk(datastore, disk, file, partial, identityOf(partial));
            } catch (IOException e) {
                Files.deleteIfExists(partial);
                throw e;
            }
        } catch (FileAlreadyExistsException e) {
            throw datastore.failure(
                    ErrorKind.BUSY,
                    "create disk " + disk,
                    "it is being made, or was left half-made: " + partial + " exists");
        } catch (IOException e) {
            throw datastore.failure("create disk " + disk, e);
        }
    }

    /**
     * Gives a file its length without writing to it, through the descriptor that made it: a mapping past the end
     * makes the file as long as the mapping.
     */
    private static void extend(FileChannel channel, long sizeBytes) throws IOException {
        if (sizeBytes == 0) {
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            channel.map(MapMode.READ_WRITE, sizeBytes - 1, 1, arena);
        }
        if (channel.size() != sizeBytes) {
            throw new IOException("the file system does not take a file of " + sizeBytes + " bytes");
        }
    }

    /** What tells the file at a path from every other file that there is now: device and inode. */
    public static String identityOf(Path path) throws IOException {
        Object device = Files.getAttribute(path, "unix:dev", LinkOption.NOFOLLOW_LINKS);
        Object inode = Files.getAttribute(path, "unix:ino", LinkOption.NOFOLLOW_LINKS);
        return device + ":" + inode;
    }

    /** Where the file is until it is published. */
    public Path partial() {
        return partial;
    }

    /** Where the file will be, under the disk's name. */
    public Path file() {
        return file;
    }

    public String identity() {
        return identity;
    }

    /**
     * Makes the disk durable and visible under its name. The file stays what it was: who has it open keeps it.
     *
     * @throws BlockException of kind {@link ErrorKind#BUSY} if a file of that name has turned up
     */
    public void publish() throws BlockException {
        try {
            try (FileChannel channel =
                    FileChannel.open(partial, Set.of(StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS))) {
                channel.force(true);
            }
            link();
            datastore.sync();
        } catch (IOException e) {
            throw datastore.failure("publish disk " + disk, e);
        }
    }

    private void link() throws IOException {
        try {
            Files.createLink(file, partial);
            Files.delete(partial);
        } catch (FileAlreadyExistsException e) {
            throw e;
        } catch (UnsupportedOperationException | FileSystemException noHardLinks) {
            if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
                throw new FileAlreadyExistsException(file.toString());
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    /** Takes the disk away, whether published or not. */
    public void discard() throws BlockException {
        discard(datastore, file, identity);
    }

    /**
     * Takes a half-made disk away after a crash: its hidden file, and its visible one, if they are the file that was
     * made then and not another that has its name now.
     *
     * @param identity what {@link #identity} said when it was made
     */
    public static void discard(Datastore datastore, Path file, String identity) throws BlockException {
        try {
            boolean any = deleteIfSame(Datastore.partialOf(file), identity);
            any |= deleteIfSame(file, identity);
            if (any) {
                datastore.sync();
            }
        } catch (IOException e) {
            throw datastore.failure("take away half-made disk", e);
        }
    }

    private static boolean deleteIfSame(Path path, String identity) throws IOException {
        try {
            return identityOf(path).equals(identity) && Files.deleteIfExists(path);
        } catch (NoSuchFileException e) {
            return false;
        }
    }
}
