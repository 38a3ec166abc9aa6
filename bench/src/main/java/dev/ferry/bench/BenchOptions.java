package dev.ferry.bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;

/** What all measurements have in common to choose. */
final class BenchOptions {
    @Option(
            names = "--dir",
            paramLabel = "DIR",
            description =
                    "measure on the file system of DIR; may be repeated (default: /dev/shm and the temporary directory)")
    private List<Path> directories = new ArrayList<>();

    @Option(names = "--rounds", defaultValue = "5", description = "rounds, of which the median counts (default: 5)")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "5",
            description = "seconds for each measurement of a round (default: 5)")
    private int seconds;

    @Option(
            names = "--size",
            paramLabel = "MIB",
            description = "size of the file or disk in MiB (bench/README.md has the default of each)")
    private int sizeMib;

    @Option(names = "--only", paramLabel = "TEXT", description = "only the workloads whose name contains TEXT")
    private String only = "";

    @Option(
            names = "--ferry",
            paramLabel = "COMMAND",
            description = "the ferry to measure (default: the one that this was started with)")
    private String ferry = defaultFerry();

    @Option(
            names = "--qsd",
            paramLabel = "PATH",
            defaultValue = "qemu-storage-daemon",
            description = "the qemu-storage-daemon to compare with (default: the one on PATH)")
    private String storageDaemon = "";

    @Option(names = "--disks", defaultValue = "100", description = "memory: disks to attach (default: 100)")
    private int disks;

    @Option(names = "--json", description = "print JSON")
    private boolean json;

    @Option(names = "--quiet", description = "say nothing while measuring")
    private boolean quiet;

    /** Where to measure what runs from the page cache. */
    List<Path> directories() {
        if (!directories.isEmpty()) {
            return directories;
        }
        List<Path> found = new ArrayList<>(diskDirectories());
        Path memory = Path.of("/dev/shm");
        if (Files.isWritable(memory)) {
            found.addFirst(memory);
        }
        return found;
    }

    /** Where to measure what asks for a disk. */
    List<Path> diskDirectories() {
        return directories.isEmpty() ? List.of(Path.of("/var/tmp")) : directories;
    }

    int rounds() {
        return rounds;
    }

    int seconds() {
        return seconds;
    }

    /** The size asked for, or {@code otherwise}. */
    long sizeBytes(long otherwise) {
        return sizeMib == 0 ? otherwise : (long) sizeMib << 20;
    }

    boolean chosen(String workload) {
        return workload.contains(only);
    }

    String ferry() {
        return ferry;
    }

    /** The script ferry tells its programs where it runs from: cli/target/dist below its own directory. */
    private static String defaultFerry() {
        return Optional.ofNullable(System.getProperty("ferry.home"))
                .map(home -> Path.of(home, "../../../ferry").normalize().toString())
                .orElse("./ferry");
    }

    String storageDaemon() {
        return storageDaemon;
    }

    int disks() {
        return disks;
    }

    boolean json() {
        return json;
    }

    /** One line for the person who waits, on standard error. */
    void progress(String line) {
        if (!quiet) {
            System.err.println(line);
        }
    }
}
