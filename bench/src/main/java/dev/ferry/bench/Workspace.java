package dev.ferry.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A temporary directory on the file system to measure on; gone when closed. When this process is interrupted, it goes all the
 * same, and so do all processes that were started meanwhile.
 */
final class Workspace implements AutoCloseable {
    private static final long END_NANOS_MAX = TimeUnit.SECONDS.toNanos(10);

    private final Path directory;
    private final String fileSystem;
    private final Thread whenInterrupted = new Thread(this::abandon);
    private boolean gone;

    private Workspace(Path directory, String fileSystem) {
        this.directory = directory;
        this.fileSystem = fileSystem;
    }

    static Workspace below(Path parent) {
        try {
            Path directory = Files.createTempDirectory(parent, "ferry-bench").toRealPath();
            Workspace workspace =
                    new Workspace(directory, Files.getFileStore(directory).type());
            Runtime.getRuntime().addShutdownHook(workspace.whenInterrupted);
            return workspace;
        } catch (IOException e) {
            throw new BenchException("cannot make a directory in " + parent + ": " + e.getMessage(), e);
        }
    }

    Path directory() {
        return directory;
    }

    String fileSystem() {
        return fileSystem;
    }

    Path path(String name) {
        return directory.resolve(name);
    }

    /** Whoever measures does not know yet, and may start one more process, which has to go as well. */
    private void abandon() {
        long end = System.nanoTime() + END_NANOS_MAX;
        List<ProcessHandle> left = ProcessHandle.current().descendants().toList();
        while (!left.isEmpty() && System.nanoTime() < end) {
            left.forEach(ProcessHandle::destroyForcibly);
            for (ProcessHandle one : left) {
                one.onExit().completeOnTimeout(one, 1, TimeUnit.SECONDS).join();
            }
            left = ProcessHandle.current().descendants().toList();
        }
        try {
            delete();
        } catch (IOException failed) {
            System.err.println("ferry bench: " + directory + " cannot be deleted: " + failed.getMessage());
        }
    }

    @Override
    public void close() throws IOException {
        try {
            Runtime.getRuntime().removeShutdownHook(whenInterrupted);
        } catch (IllegalStateException interrupted) {
            return;
        }
        delete();
    }

    private synchronized void delete() throws IOException {
        if (gone) {
            return;
        }
        gone = true;
        try (Stream<Path> paths = Files.walk(directory)) {
            List<Path> deepestFirst = paths.sorted(Comparator.reverseOrder()).toList();
            for (Path path : deepestFirst) {
                Files.deleteIfExists(path);
            }
        } catch (UncheckedIOException unreadable) {
            throw unreadable.getCause();
        }
    }
}
