package dev.ferry.datastore;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/**
 * A disk in the making. Its file has a hidden name until {@link #publish} links it to the real one, which fails rather
 * than replace a file that is there; so a name always stands for a complete disk, even after a power cut.
 *
 * <p>Thread: one at a time. Calls block.
 */
public final class NewDisk {
    private final Path file;
    private final String identity;

    private NewDisk(Path file, String identity) {
        this.file = file;
        this.identity = identity;
    }

    static NewDisk create(Datastore datastore, String disk, Path file, long sizeBytes) throws BlockException {
        Path partial = DiskFiles.partialOf(file);
        try {
            make(partial, sizeBytes);
            try {
                DiskFiles.syncDirectory(datastore.directory());
                return new NewDisk(file, DiskFiles.identityOf(partial));
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

    /** Makes a file that is not there, readable by this user only, of so many bytes; all of it, or nothing. */
    static void make(Path path, long sizeBytes) throws IOException {
        var ownerOnly = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        var exclusively = Set.of(
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE,
                LinkOption.NOFOLLOW_LINKS);
        try (FileChannel channel = FileChannel.open(path, exclusively, ownerOnly)) {
            try {
                extend(channel, sizeBytes);
            } catch (IOException e) {
                Files.deleteIfExists(path);
                throw e;
            }
        }
    }

    /**
     * Gives a file its length without writing to it, through the descriptor that made it: a mapping past the end
     * makes the file as long as the mapping.
     */
    static void extend(FileChannel channel, long sizeBytes) throws IOException {
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

    /** Where the file is until it is published. */
    public Path partial() {
        return DiskFiles.partialOf(file);
    }

    /** Where the file will be, under the disk's name. */
    public Path file() {
        return file;
    }

    /** Tells this file from any other ({@link DiskFiles}). */
    public String identity() {
        return identity;
    }

    /**
     * Makes the disk durable and visible under its name. The file stays what it was: who has it open keeps it.
     *
     * @throws BlockException of kind {@link ErrorKind#BUSY} if a file of that name has turned up
     */
    public void publish() throws BlockException {
        DiskFiles.publish(file, identity);
    }

    /** Takes the disk away, whether published or not. */
    public void discard() throws BlockException {
        DiskFiles.discard(file, identity);
    }
}
