package dev.ferry.testkit;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A file system of a wanted kind, for a test alone: in a file, on a loop device, mounted. Needs root. */
public final class LoopMount implements AutoCloseable {
    private final String device;
    private final Path image;
    private final Path path;

    private LoopMount(String device, Path image, Path path) {
        this.device = device;
        this.image = image;
        this.path = path;
    }

    /** One with sectors of 512 bytes. */
    public static LoopMount of(Path directory, String kind, long sizeBytes) throws IOException {
        return of(directory, kind, sizeBytes, 512);
    }

    /**
     * Makes and mounts it; skips the test where that is not possible.
     *
     * @param directory takes the file and the mount point
     * @param kind such as {@code xfs}, for which there is {@code mkfs.xfs}
     * @param sectorBytes of the loop device
     */
    public static LoopMount of(Path directory, String kind, long sizeBytes, int sectorBytes) throws IOException {
        Requires.program("mkfs." + kind);
        Requires.program("losetup");
        Requires.program("mount");
        Path path = Files.createTempDirectory(directory, kind);
        Path image = path.resolveSibling(path.getFileName() + ".img");
        try (var file = new java.io.RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
        List<String> said = new ArrayList<>();
        boolean made = run(said, "losetup", "--sector-size", "" + sectorBytes, "--find", "--show", image.toString());
        Requires.that(made && said.size() == 1, "root, for a loop device: " + said);
        LoopMount mount = new LoopMount(said.getFirst(), image, path);
        List<String> words = new ArrayList<>();
        boolean mounted = run(words, "mkfs." + kind, "-q", mount.device)
                && run(words, "mount", "-t", kind, mount.device, path.toString());
        if (!mounted) {
            mount.close();
        }
        Requires.that(mounted, "root, and a kernel with " + kind + ": " + words);
        return mount;
    }

    private static boolean run(List<String> said, String... command) throws IOException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        said.addAll(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8)
                .lines()
                .toList());
        try {
            return process.waitFor() == 0;
        } catch (InterruptedException interrupted) {
            throw new IOException("interrupted", interrupted);
        }
    }

    /** Where it is mounted. */
    public Path path() {
        return path;
    }

    @Override
    public void close() throws IOException {
        List<String> ignored = new ArrayList<>();
        if (!run(ignored, "umount", path.toString())) {
            run(ignored, "umount", "-l", path.toString());
        }
        run(ignored, "losetup", "-d", device);
        Files.deleteIfExists(image);
        Files.deleteIfExists(path);
    }
}
