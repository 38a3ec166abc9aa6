package dev.ferry.migration.journal;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** Journals in a directory: {@code m7.journal} is that of migration {@code m7}. */
public final class FileJournals implements Journals {
    private static final String SUFFIX = ".journal";

    /** Of the first record: those that follow say more of each file, and are to fit. */
    private static final int FIRST_BYTES_MAX = 192 << 10;

    private final Path directory;

    /** Makes the directory if need be, and takes away what a crash left half-written in it. */
    public FileJournals(Path directory) throws IOException {
        Files.createDirectories(directory);
        this.directory = directory;
        try (DirectoryStream<Path> halfWritten = Files.newDirectoryStream(directory, ".m*" + SUFFIX + ".new")) {
            for (Path file : halfWritten) {
                Files.deleteIfExists(file);
            }
        }
    }

    @Override
    public Journal create(MoveRecord first) throws IOException {
        if (JournalFile.bodyBytes(first) > FIRST_BYTES_MAX) {
            throw new IOException("its disks and what they lie over are in too many files; move fewer disks at once, or"
                    + " without --with-snapshots");
        }
        JournalFile journal = JournalFile.create(pathOf(first.id()));
        try {
            journal.append(first);
            sync();
            return journal;
        } catch (IOException e) {
            journal.close();
            Files.deleteIfExists(pathOf(first.id()));
            throw e;
        }
    }

    @Override
    public Journal reopen(Found found) throws IOException {
        return JournalFile.reopen(pathOf(found.id()), found.endBytes());
    }

    @Override
    public Journal rewrite(MoveRecord record) throws IOException {
        Path fresh = directory.resolve("." + record.id() + SUFFIX + ".new");
        Files.deleteIfExists(fresh);
        JournalFile journal = JournalFile.create(fresh);
        try {
            journal.append(record);
            Files.move(fresh, pathOf(record.id()), StandardCopyOption.ATOMIC_MOVE);
            sync();
            return journal;
        } catch (IOException e) {
            journal.close();
            throw e;
        }
    }

    @Override
    public List<Found> all() throws IOException {
        List<Found> found = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "m*" + SUFFIX)) {
            for (Path file : files) {
                String name = file.getFileName().toString();
                String id = name.substring(0, name.length() - SUFFIX.length());
                if (numberOf(id) >= 0) {
                    found.add(JournalFile.read(id, file));
                }
            }
        }
        found.sort(Comparator.comparingLong(journal -> numberOf(journal.id())));
        return found;
    }

    /** The number in an id such as {@code m7}, or -1. */
    public static long numberOf(String id) {
        if (id.length() < 2 || id.length() > 18 || id.charAt(0) != 'm') {
            return -1;
        }
        for (int i = 1; i < id.length(); i++) {
            if (id.charAt(i) < '0' || id.charAt(i) > '9') {
                return -1;
            }
        }
        return Long.parseLong(id.substring(1));
    }

    @Override
    public void delete(String id) throws IOException {
        if (Files.deleteIfExists(pathOf(id))) {
            sync();
        }
    }

    private Path pathOf(String id) {
        return directory.resolve(id + SUFFIX);
    }

    private void sync() throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }
}
