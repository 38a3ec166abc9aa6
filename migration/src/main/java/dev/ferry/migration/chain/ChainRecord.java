package dev.ferry.migration.chain;

import dev.ferry.stack.PartRecord;
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
import java.util.Properties;
import org.jspecify.annotations.Nullable;

/**
 * What is on disk of a job, {@code DISK.job} in a directory of its own; replaced as a whole, and durable before anything is done.
 *
 * @param disk its name
 * @param kind what is done
 * @param top the disk's own file
 * @param base commit: the layer that gets all; streaming: the one that stays below, or null
 * @param baseFormat the format of that layer; null with it
 * @param between commit: the layers between, which go with the top
 * @param parts commit: the files that hold the top and the layers between besides their own, which go with them
 * @param bytesPerSecond bound on the copy; 0: none
 * @param decided commit: the base is the disk now; its name has yet to follow, perhaps
 */
record ChainRecord(
        String disk,
        Kind kind,
        Path top,
        @Nullable Path base,
        @Nullable String baseFormat,
        List<Path> between,
        List<PartRecord> parts,
        long bytesPerSecond,
        boolean decided) {
    private static final String SUFFIX = ".job";

    enum Kind {
        COMMIT,
        STREAM;

        String text() {
            return this == COMMIT ? "commit" : "stream";
        }
    }

    ChainRecord {
        between = List.copyOf(between);
        parts = List.copyOf(parts);
    }

    ChainRecord asDecided() {
        return new ChainRecord(disk, kind, top, base, baseFormat, between, parts, bytesPerSecond, true);
    }

    ChainRecord withRate(long rate) {
        return new ChainRecord(disk, kind, top, base, baseFormat, between, parts, rate, decided);
    }

    void write(Path directory) throws IOException {
        Properties all = new Properties();
        all.setProperty("disk", disk);
        all.setProperty("kind", kind.text());
        all.setProperty("top", top.toString());
        if (base != null && baseFormat != null) {
            all.setProperty("base", base.toString());
            all.setProperty("base-format", baseFormat);
        }
        for (int i = 0; i < between.size(); i++) {
            all.setProperty("between-" + i, between.get(i).toString());
        }
        for (int i = 0; i < parts.size(); i++) {
            all.setProperty("part-" + i, parts.get(i).path());
            all.setProperty("identity-" + i, parts.get(i).identity());
        }
        all.setProperty("rate", String.valueOf(bytesPerSecond));
        all.setProperty("decided", String.valueOf(decided));
        StringWriter text = new StringWriter();
        all.store(text, null);
        Path fresh = directory.resolve("." + disk + SUFFIX + ".new");
        try {
            Files.writeString(fresh, text.toString());
            try (FileChannel channel = FileChannel.open(fresh, StandardOpenOption.WRITE)) {
                channel.force(true);
            }
            Files.move(fresh, fileIn(directory), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException failed) {
            // What there was stays; a part of a record takes no room.
            Files.deleteIfExists(fresh);
            throw failed;
        }
        sync(directory);
    }

    private Path fileIn(Path directory) {
        return directory.resolve(disk + SUFFIX);
    }

    void delete(Path directory) throws IOException {
        Files.deleteIfExists(fileIn(directory));
        sync(directory);
    }

    static void sync(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** All that are in a directory, which is made if it is not there. */
    static List<ChainRecord> all(Path directory) throws IOException {
        Files.createDirectories(directory);
        List<ChainRecord> found = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
            for (Path file : files) {
                found.add(read(file));
            }
        }
        return found;
    }

    private static ChainRecord read(Path file) throws IOException {
        Properties all = new Properties();
        try (Reader reader = Files.newBufferedReader(file, StandardCharsets.UTF_8)) {
            all.load(reader);
        } catch (IllegalArgumentException damaged) {
            throw new IOException("the job " + file + " is damaged: " + damaged.getMessage(), damaged);
        }
        String disk = all.getProperty("disk");
        String top = all.getProperty("top");
        String kind = String.valueOf(all.getProperty("kind"));
        if (disk == null || top == null || !kind.matches("commit|stream")) {
            throw new IOException("the job " + file + " is damaged");
        }
        String base = all.getProperty("base");
        List<Path> between = new ArrayList<>();
        for (String one; (one = all.getProperty("between-" + between.size())) != null; ) {
            between.add(Path.of(one));
        }
        List<PartRecord> parts = new ArrayList<>();
        for (String one; (one = all.getProperty("part-" + parts.size())) != null; ) {
            parts.add(new PartRecord(one, all.getProperty("identity-" + parts.size(), "")));
        }
        try {
            return new ChainRecord(
                    disk,
                    kind.equals("commit") ? Kind.COMMIT : Kind.STREAM,
                    Path.of(top),
                    base == null ? null : Path.of(base),
                    all.getProperty("base-format"),
                    between,
                    parts,
                    Long.parseLong(all.getProperty("rate", "0")),
                    Boolean.parseBoolean(all.getProperty("decided")));
        } catch (NumberFormatException damaged) {
            throw new IOException("the job " + file + " is damaged", damaged);
        }
    }
}
