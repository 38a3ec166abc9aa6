package dev.ferry.cli.demo;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.cli.Screen;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The demonstration, on a small disk: it does what it says, says it as promised, and leaves nothing behind. */
@Timeout(120)
final class DemoTest {
    @TempDir
    Path directory;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    private int demo(String... arguments) {
        PrintStream stream = new PrintStream(out, true, StandardCharsets.UTF_8);
        return new CommandLine(new DemoCommand(new Screen(stream, stream, false))).execute(arguments);
    }

    @Test
    void theJsonHasTheFieldsThatWerePromised() throws IOException {
        int status = demo("--size", "32M", "--iops", "500", "--seconds", "1", "--json", "--dir", directory.toString());
        assertThat(status).as(out.toString(StandardCharsets.UTF_8)).isZero();
        JsonNode report = JsonMapper.builder().build().readTree(out.toByteArray());
        assertThat(report.propertyNames())
                .containsExactlyInAnyOrder(
                        "seconds",
                        "mibPerSecond",
                        "guest",
                        "longestStallMillis",
                        "switchoverPauseMillis",
                        "sourceDigest",
                        "targetDigest",
                        "equal",
                        "wrongReads");
        for (String stretch : new String[] {"before", "during", "after"}) {
            JsonNode felt = report.path("guest").path(stretch);
            assertThat(felt.propertyNames()).containsExactlyInAnyOrder("iops", "p99Micros");
            assertThat(felt.path("iops").asDouble()).isPositive();
        }
        assertThat(report.path("equal").asBoolean()).isTrue();
        assertThat(report.path("sourceDigest").asString())
                .isNotEmpty()
                .isEqualTo(report.path("targetDigest").asString());
        assertThat(report.path("wrongReads").asLong()).isZero();
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void withoutVerificationItSaysThatThereIsNoProof() {
        int status =
                demo("--size", "16M", "--iops", "500", "--seconds", "1", "--no-verify", "--dir", directory.toString());
        assertThat(status).isZero();
        assertThat(out.toString(StandardCharsets.UTF_8)).contains("none wrong", "none was asked for");
        assertThat(directory).isEmptyDirectory();
    }
}
