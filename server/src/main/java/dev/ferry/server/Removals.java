package dev.ferry.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.PartRecord;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.io.Reader;
import java.io.StringWriter;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Properties;
import java.util.function.Predicate;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Disks of several files that are being removed, {@code DISK.removal} each in a directory of its own: the parts of a disk are written
 * down, the disk's own file is deleted, then they are. What a crash has left of that is done by the next start.
 *
 * <p>Thread: any, one at a time for a disk; calls block.
 */
final class Removals {
    private static final Logger LOG = LoggerFactory.getLogger(Removals.class);
    private static final String SUFFIX = ".removal";

    private final Path directory;
    private final Stacks stacks;
    private final Predicate<Path> isDisk;

    /** @param isDisk whether a file is a disk's own, which stays */
    Removals(Path directory, Stacks stacks, Predicate<Path> isDisk) throws IOException {
        this.directory = Files.createDirectories(directory);
        this.stacks = stacks;
        this.isDisk = isDisk;
    }

    /**
     * What is being removed.
     *
     * @param file the disk's own
     * @param parts all others, with what tells each from a later one of its name
     */
    private record Removal(String disk, Path file, String identity, List<PartRecord> parts) {
        Removal {
            parts = List.copyOf(parts);
        }
    }

    /** Deletes a disk's own file. */
    @FunctionalInterface
    interface Deletion {
        void run() throws BlockException;
    }

    /** Deletes the files of a disk that nobody uses: its own first, so that no crash leaves a disk that lacks a part. */
    void remove(DiskSpec disk, Deletion own) throws BlockException {
        List<PartRecord> parts = parts(disk);
        if (parts.isEmpty()) {
            own.run();
            return;
        }
        try {
            Removal removal = new Removal(disk.name(), disk.path(), DiskFiles.identityOf(disk.path()), parts);
            write(removal);
            delete(removal, own);
            deleteParts(removal);
            forget(removal);
        } catch (BlockException failed) {
            throw failed;
        } catch (IOException failed) {
            throw BlockError.of(ErrorKind.IO, "disk " + disk.name(), "remove", String.valueOf(failed.getMessage()))
                    .toException();
        }
    }

    private void delete(Removal removal, Deletion own) throws IOException {
        try {
            own.run();
        } catch (BlockException failed) {
            if (DiskFiles.isFile(removal.file(), removal.identity())) {
                forget(removal);
            }
            throw failed;
        }
    }

    /** What cannot be read names nothing; the disk can be removed all the same. */
    private List<PartRecord> parts(DiskSpec disk) {
        try {
            return stacks.partRecords(disk);
        } catch (BlockException unreadable) {
            LOG.warn(
                    "disk {} is removed, and it is not known which files hold it besides its own",
                    disk.name(),
                    unreadable);
            return List.of();
        }
    }

    /** Durable when this returns; nothing is deleted yet. */
    private void write(Removal removal) throws IOException {
        Properties all = new Properties();
        all.setProperty("disk", removal.disk());
        all.setProperty("file", removal.file().toString());
        all.setProperty("identity", removal.identity());
        for (int i = 0; i < removal.parts().size(); i++) {
            all.setProperty("part-" + i, removal.parts().get(i).path());
            all.setProperty("identity-" + i, removal.parts().get(i).identity());
        }
        StringWriter text = new StringWriter();
        all.store(text, null);
        Path fresh = directory.resolve("." + removal.disk() + SUFFIX + ".new");
        Files.writeString(fresh, text.toString());
        try (FileChannel channel = FileChannel.open(fresh, StandardOpenOption.WRITE)) {
            channel.force(true);
        }
        Files.move(fresh, directory.resolve(removal.disk() + SUFFIX), StandardCopyOption.ATOMIC_MOVE);
        sync();
    }

    private void sync() throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** Deletes the parts of a disk whose own file is gone. */
    private void deleteParts(Removal removal) throws BlockException {
        Path root = Objects.requireNonNull(removal.file().getParent());
        stacks.deleteParts(removal.parts(), root, isDisk);
    }

    /** It is done, or was not begun. */
    private void forget(Removal removal) throws IOException {
        Files.deleteIfExists(directory.resolve(removal.disk() + SUFFIX));
        sync();
    }

    /**
     * After a start: brings to its end what had begun. The inventory may have the disk still, which can be removed again. A store that
     * is away is looked at by the next start.
     */
    void recover() throws IOException {
        for (Removal removal : all()) {
            try {
                if (DiskFiles.isFile(removal.file(), removal.identity())) {
                    forget(removal);
                } else if (DiskFiles.sameFileSystem(removal.file(), removal.identity())) {
                    LOG.info("disk {} was being removed when the daemon ended", removal.disk());
                    deleteParts(removal);
                    forget(removal);
                }
            } catch (BlockException left) {
                LOG.warn("files of disk {}, which is removed, are left", removal.disk(), left);
            }
        }
    }

    private List<Removal> all() throws IOException {
        List<Removal> found = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
            for (Path file : files) {
                found.add(read(file));
            }
        }
        return found;
    }

    private static Removal read(Path record) throws IOException {
        Properties all = new Properties();
        try (Reader reader = Files.newBufferedReader(record, StandardCharsets.UTF_8)) {
            all.load(reader);
        } catch (IllegalArgumentException damaged) {
            throw new IOException("the removal " + record + " is damaged: " + damaged.getMessage(), damaged);
        }
        String disk = all.getProperty("disk");
        String file = all.getProperty("file");
        String identity = all.getProperty("identity");
        if (disk == null || file == null || identity == null) {
            throw new IOException("the removal " + record + " is damaged");
        }
        List<PartRecord> parts = new ArrayList<>();
        for (String part; (part = all.getProperty("part-" + parts.size())) != null; ) {
            parts.add(new PartRecord(part, all.getProperty("identity-" + parts.size(), "")));
        }
        return new Removal(disk, Path.of(file), identity, parts);
    }
}
