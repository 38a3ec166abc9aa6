package dev.ferry.datastore;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * A directory that holds disks. A disk {@code vm1} in format raw is the file {@code vm1.raw}; while it is being made it is
 * {@code .vm1.raw.partial}, which nothing but {@link NewDisk} and {@link #leftovers} looks at.
 *
 * <p>Holds no state but its name and its path; any thread may call it. Calls block.
 */
public final class Datastore {
    private static final Duration FREEING_LIMIT = Duration.ofSeconds(30);

    private final String name;
    private final Path directory;

    private Datastore(String name, Path directory) {
        this.name = name;
        this.directory = directory;
    }

    /**
     * Opens a directory as a datastore.
     *
     * @throws BlockException if the name is none, or the path is missing, not a directory or not writable
     */
    public static Datastore open(String name, Path directory) throws BlockException {
        Names.checked("datastore", name);
        Datastore datastore = new Datastore(name, directory.toAbsolutePath().normalize());
        datastore.check();
        return new Datastore(name, datastore.realDirectory());
    }

    /**
     * Opens a directory as a new datastore beside others, which it must neither be, nor lie in, nor hold: two datastores
     * that share files would each think the room and the files theirs.
     */
    public static Datastore add(String name, Path directory, Collection<Datastore> others) throws BlockException {
        Datastore added = open(name, directory);
        for (Datastore other : others) {
            if (other.name.equals(name)) {
                throw added.failure(ErrorKind.BUSY, "add", "there is a datastore of that name, at " + other.directory);
            }
            if (added.directory.equals(other.directory)) {
                throw added.failure(
                        ErrorKind.INVALID, "add", directory + " is the directory of datastore " + other.name);
            }
            if (added.directory.startsWith(other.directory) || other.directory.startsWith(added.directory)) {
                throw added.failure(
                        ErrorKind.INVALID,
                        "add",
                        directory + " and datastore " + other.name + " at " + other.directory + " lie in one another");
            }
        }
        return added;
    }

    /** Looks again whether this is still a directory that can be written; file systems come and go. */
    public void check() throws BlockException {
        if (!Files.exists(directory)) {
            throw failure(ErrorKind.NOT_FOUND, "open", directory + " does not exist");
        }
        if (!Files.isDirectory(directory)) {
            throw failure(ErrorKind.INVALID, "open", directory + " is not a directory");
        }
        if (!Files.isWritable(directory)) {
            throw failure(ErrorKind.ACCESS, "open", directory + " is read-only, or not writable for this user");
        }
    }

    public String name() {
        return name;
    }

    public DatastoreKind kind() {
        return DatastoreKind.DIR;
    }

    public Path directory() {
        return directory;
    }

    public Space space() throws BlockException {
        try {
            FileStore store = Files.getFileStore(directory);
            return new Space(store.getUsableSpace(), store.getTotalSpace());
        } catch (IOException e) {
            throw failure("look for room", e);
        }
    }

    /**
     * As {@link #space}, but where there is less than is needed, and disks that were deleted are still giving their room
     * back, it waits for that first.
     */
    public Space spaceFor(long neededBytes) throws BlockException {
        Space space = space();
        return space.freeBytes() < neededBytes && GradualDelete.awaitFreed(FREEING_LIMIT) ? space() : space;
    }

    /** Where the file of a disk is, or would be. */
    public Path fileOf(String disk, String format) throws BlockException {
        Names.checked("disk", disk);
        return directory.resolve(disk + "." + format);
    }

    /**
     * Begins a disk: makes its file, sparse, of exactly {@code sizeBytes}, readable by this user only, under a name that
     * nobody looks at. It becomes visible by {@link NewDisk#publish}.
     *
     * @throws BlockException of kind {@link ErrorKind#BUSY} if the disk is there already or is being made
     */
    public NewDisk create(String disk, String format, long sizeBytes) throws BlockException {
        Path file = fileOf(disk, format);
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            throw failure(ErrorKind.BUSY, "create disk " + disk, file + " exists already");
        }
        return NewDisk.create(this, disk, file, sizeBytes);
    }

    /** Where a file that is no disk itself, but lies below disks, is or would be. */
    public Path baseFile(String fileName) throws BlockException {
        return directory.resolve(Names.checked("file", fileName));
    }

    /**
     * Begins a file that is to lie below disks, as {@link #create} begins a disk.
     *
     * @param file as {@link #baseFile} has it
     * @throws BlockException of kind {@link ErrorKind#BUSY} if a file of that name is there already or is being made
     */
    public NewDisk createBase(Path file, long lengthBytes) throws BlockException {
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            throw failure(ErrorKind.BUSY, "create a base", file + " exists already");
        }
        return NewDisk.create(this, String.valueOf(file.getFileName()), file, lengthBytes);
    }

    /**
     * Deletes a disk's file and makes that durable; its room comes back within seconds, gently. A file that is not there is
     * deleted already.
     */
    public void delete(String disk, String format) throws BlockException {
        Path file = fileOf(disk, format);
        try {
            if (Files.isDirectory(file, LinkOption.NOFOLLOW_LINKS)) {
                throw failure(ErrorKind.INVALID, "delete disk " + disk, file + " is a directory");
            }
            if (GradualDelete.delete(file)) {
                DiskFiles.syncDirectory(directory);
            }
        } catch (BlockException e) {
            throw e;
        } catch (IOException e) {
            throw failure("delete disk " + disk, e);
        }
    }

    /** Files of disks that were never finished. Whoever calls knows which of them somebody is still working on. */
    public List<Path> leftovers() throws BlockException {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, ".*.partial")) {
            files.forEach(found::add);
        } catch (IOException e) {
            throw failure("look for leftovers", e);
        }
        found.sort(null);
        return found;
    }

    /**
     * Makes a file to try things out on, which is gone when it is closed.
     *
     * @param name tells it from others that are there at the same time
     */
    public TrialFile trial(String name) throws BlockException {
        return TrialFile.create(this, name);
    }

    /** Takes away what crashes have left of trials; gives how many files that were. */
    public int sweepTrials() throws BlockException {
        try {
            return TrialFile.sweep(directory);
        } catch (IOException e) {
            throw failure("sweep", e);
        }
    }

    private Path realDirectory() throws BlockException {
        try {
            return directory.toRealPath();
        } catch (IOException e) {
            throw failure("open", e);
        }
    }

    BlockException failure(String operation, IOException cause) {
        return DiskFiles.failure("datastore " + name, operation, cause);
    }

    BlockException failure(ErrorKind kind, String operation, String detail) {
        return BlockError.of(kind, "datastore " + name, operation, detail).toException();
    }

    @Override
    public String toString() {
        return "datastore " + name + " (" + directory + ")";
    }
}
