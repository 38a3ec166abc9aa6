package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A temporary directory on the file system to measure on; gone when closed. */
record Workspace(Path directory, String fileSystem) implements AutoCloseable {
    static Workspace below(Path parent) {
        try {
            Path directory = Files.createTempDirectory(parent, "ferry-bench").toRealPath();
            return new Workspace(directory, Files.getFileStore(directory).type());
        } catch (IOException e) {
            throw new BenchException("cannot make a directory in " + parent + ": " + e.getMessage(), e);
        }
    }

    Path path(String name) {
        return directory.resolve(name);
    }

    @Override
    public void close() throws IOException {
        try (Stream<Path> paths = Files.walk(directory)) {
            List<Path> deepestFirst = paths.sorted(Comparator.reverseOrder()).toList();
            for (Path path : deepestFirst) {
                Files.deleteIfExists(path);
            }
        }
    }
}
