package dev.ferry.testkit;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A file system of a wanted kind, for a test alone: in a file, on a loop device, mounted. Needs root. */
public final class LoopMount implements AutoCloseable {
    private final Path image;
    private final Path path;
    private final int sectorBytes;
    private String device;

    private LoopMount(String device, Path image, Path path, int sectorBytes) {
        this.device = device;
        this.image = image;
        this.path = path;
        this.sectorBytes = sectorBytes;
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
        try (var file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(sizeBytes);
        }
        LoopMount mount = new LoopMount(attach(image, sectorBytes), image, path, sectorBytes);
        List<String> words = new ArrayList<>();
        boolean mounted = run(words, "mkfs." + kind, "-q", mount.device)
                && run(words, "mount", "-t", kind, mount.device, path.toString());
        if (!mounted) {
            mount.close();
        }
        Requires.that(mounted, "root, and a kernel with " + kind + ": " + words);
        return mount;
    }

    private static String attach(Path image, int sectorBytes) throws IOException {
        List<String> said = new ArrayList<>();
        boolean made = run(said, "losetup", "--sector-size", "" + sectorBytes, "--find", "--show", image.toString());
        Requires.that(made && said.size() == 1, "root, for a loop device: " + said);
        return said.getFirst();
    }

    /** Makes durable what is there. */
    public void sync() throws IOException {
        if (!run(new ArrayList<>(), "sync", "--file-system", path.toString())) {
            throw new IOException(path + " cannot be synced");
        }
    }

    /**
     * The power fails: what is in the memory of the file system, and nobody has made durable, is lost. Whatever is open there
     * gets errors from now on, for good. Of xfs only.
     */
    public void cutPower() throws IOException {
        Requires.program("xfs_io");
        List<String> said = new ArrayList<>();
        if (!run(said, "xfs_io", "-x", "-c", "shutdown", path.toString())) {
            throw new IOException("xfs cannot be shut down: " + said);
        }
    }

    /**
     * The power is back: what was durable is there again, in the same place, whoever still holds what was open before; and on a
     * device of another number, as may happen after a restart of a host.
     */
    public void restorePower() throws IOException {
        List<String> said = new ArrayList<>();
        String before = device;
        boolean parted = run(said, "umount", "-l", path.toString());
        device = attach(image, sectorBytes);
        parted &= run(said, "losetup", "-d", before);
        if (!parted || !run(said, "mount", "-t", "xfs", "-o", "nouuid", device, path.toString())) {
            throw new IOException("xfs does not come back: " + said);
        }
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
