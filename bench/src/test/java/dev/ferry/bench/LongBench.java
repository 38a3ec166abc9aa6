package dev.ferry.bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Stands for a measurement that takes for ever, in a process that a test interrupts. */
final class LongBench {
    private LongBench() {}

    /** @param arguments where to work */
    public static void main(String[] arguments) throws Exception {
        try (Workspace workspace = Workspace.below(Path.of(arguments[0]))) {
            Files.writeString(workspace.path("data"), "of a measurement");
            Program.run(workspace.directory(), List.of("sh", "-c", "sleep 1000 & sleep 1000"));
        }
    }
}
