package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.server.api.ImportStatus;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What is told of an import while it is under way. */
final class ImportLineTest {
    private static final long SECOND = 1_000_000_000L;
    private static final long MIB = 1 << 20;

    @Test
    void eachPhaseHasARateAndATimeOfItsOwn() {
        ArrayDeque<Optional<ImportStatus>> told = new ArrayDeque<>(List.of(
                Optional.empty(),
                Optional.of(new ImportStatus("verifying", 0, 0)),
                Optional.of(new ImportStatus("verifying", 0, 100 * MIB)),
                Optional.of(new ImportStatus("verifying", 50 * MIB, 100 * MIB)),
                Optional.of(new ImportStatus("copying", 100 * MIB, 400 * MIB)),
                Optional.of(new ImportStatus("copying", 200 * MIB, 400 * MIB))));
        long[] nanos = {0};
        ImportLine line = new ImportLine(told::remove, () -> nanos[0]);
        assertThat(line.get()).isEmpty();
        assertThat(line.get()).isEmpty();
        nanos[0] = 100 * SECOND;
        assertThat(line.get()).isEqualTo("verifying 0 %  0 B of 100 MiB  0 B/s");
        nanos[0] += 5 * SECOND;
        assertThat(line.get()).isEqualTo("verifying 50 %  50 MiB of 100 MiB  10 MiB/s  5 s left");
        nanos[0] += 5 * SECOND;
        assertThat(line.get()).startsWith("copying 25 %");
        nanos[0] += 4 * SECOND;
        assertThat(line.get()).isEqualTo("copying 50 %  200 MiB of 400 MiB  25 MiB/s  8 s left");
    }
}
