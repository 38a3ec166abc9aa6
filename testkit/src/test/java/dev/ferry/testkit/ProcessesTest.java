package dev.ferry.testkit;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.opentest4j.AssertionFailedError;

/** A process that has ended counts as ended before anybody has asked how; one that runs does not. */
@Timeout(60)
final class ProcessesTest {
    @Test
    void oneThatNobodyHasAskedHowItEndedHasEnded() throws Exception {
        // The second sleep has the first for a child, and does not know.
        Process parent = new ProcessBuilder("sh", "-c", "sleep 0.1 & echo $!; exec sleep 1000").start();
        try {
            long pid =
                    Long.parseLong(Objects.requireNonNull(parent.inputReader().readLine()));
            ProcessHandle child = ProcessHandle.of(pid).orElseThrow();
            Processes.assertEnded(List.of(child), Duration.ofSeconds(30));
            assertThat(child.isAlive()).as("as Java sees it").isTrue();
        } finally {
            parent.destroyForcibly().waitFor();
        }
    }

    @Test
    void oneThatRunsHasNot() throws Exception {
        Process process = new ProcessBuilder("sleep", "1000").start();
        try {
            assertThatThrownBy(() -> Processes.assertEnded(List.of(process.toHandle()), Duration.ofMillis(100)))
                    .isInstanceOf(AssertionFailedError.class)
                    .hasMessageContaining(Long.toString(process.pid()));
        } finally {
            process.destroyForcibly().waitFor();
        }
        Processes.assertEnded(List.of(process.toHandle()), Duration.ofSeconds(30));
    }
}
