package dev.ferry.cli.vm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** What the host finds on the disk of a guest that is off, against what the guest says. Any thread. */
final class GuestProof {
    private GuestProof() {}

    /**
     * The file system is clean, and each file of the guest in it is what the guest says it wrote; no other is there.
     *
     * @param folder that the guest worked in, such as {@code /}
     * @param expected the checksum of each file
     * @param directory for the files
     */
    static void holds(Path fileSystem, String folder, Map<String, String> expected, Path directory) throws Exception {
        Stranger.succeeds("e2fsck", "-fn", fileSystem);
        assertThat(expected).as("files of the guest").hasSizeGreaterThan(5);
        Path files = Files.createTempDirectory(directory, "files");
        Stranger.succeeds("debugfs", "-R", "rdump " + folder + " " + files, fileSystem);
        Map<String, String> found = new TreeMap<>();
        for (Path file : filesIn(files)) {
            if (file.getFileName().toString().startsWith("file")) {
                found.put(file.getFileName().toString(), md5(file));
            }
        }
        assertThat(found).isEqualTo(expected);
    }

    /** The checksums of all files, as a guest has said when it stopped. */
    static Map<String, String> sums(GuestMachine guest) {
        Map<String, String> sums = new TreeMap<>();
        for (String line : guest.consoleLines()) {
            String[] words = line.split(" ", -1);
            if (line.startsWith("guest: sum ")) {
                sums.put(words[2], words[3]);
            }
        }
        return sums;
    }

    static List<Path> filesIn(Path directory) throws IOException {
        try (Stream<Path> paths = Files.walk(directory)) {
            return paths.filter(Files::isRegularFile).toList();
        }
    }

    private static String md5(Path file) throws IOException, NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(Files.readAllBytes(file)));
    }
}
