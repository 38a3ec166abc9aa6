package dev.ferry.bench;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Processes;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Measurements leave nothing behind, however they end. */
@Timeout(180)
class WorkspaceTest {
    private static final int STATUS_OF_SIGTERM = 143;

    @TempDir
    Path parent;

    @Test
    void itIsGoneWhenItIsClosed() throws IOException {
        try (Workspace workspace = Workspace.below(parent)) {
            Files.createDirectories(workspace.path("a/b"));
            Files.writeString(workspace.path("a/b/c"), "data");
        }
        assertThat(parent).isEmptyDirectory();
    }

    @Test
    void whenItIsInterruptedNoFileAndNoProcessIsLeft() throws Exception {
        Process bench = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        LongBench.class.getName(),
                        parent.toString())
                .inheritIO()
                .start();
        List<ProcessHandle> children = awaitChildren(bench);
        bench.destroy();
        assertThat(bench.waitFor(30, TimeUnit.SECONDS)).isTrue();
        assertThat(bench.exitValue()).isEqualTo(STATUS_OF_SIGTERM);
        Processes.assertEnded(children, Duration.ofSeconds(30));
        assertThat(parent).isEmptyDirectory();
    }

    /** A shell and what it started. */
    private static List<ProcessHandle> awaitChildren(Process bench) throws InterruptedException {
        while (true) {
            try (Stream<ProcessHandle> descendants = bench.descendants()) {
                List<ProcessHandle> found = descendants.toList();
                if (found.size() >= 3) {
                    return found;
                }
            }
            assertThat(bench.waitFor(20, TimeUnit.MILLISECONDS))
                    .as("it runs until it is interrupted")
                    .isFalse();
        }
    }
}
