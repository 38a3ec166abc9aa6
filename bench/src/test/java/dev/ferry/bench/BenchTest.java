package dev.ferry.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class BenchTest {
    private static final Map<String, CommandLine> COMMANDS = Bench.commands().getSubcommands();

    @Test
    void thereIsACommandForEachMeasurement() {
        assertThat(COMMANDS)
                .containsOnlyKeys(
                        "nbd",
                        "replies",
                        "disks",
                        "qcow2",
                        "direct",
                        "tcp",
                        "tls",
                        "move",
                        "trailing",
                        "bound",
                        "record",
                        "strategies",
                        "copy",
                        "convert",
                        "nbdcopy",
                        "link",
                        "memory",
                        "stack");
    }

    @Test
    void eachSaysWhatItMeasuresAndTakesTheSameOptions() {
        COMMANDS.forEach((name, command) -> {
            assertThat(command.getCommandSpec().usageMessage().description())
                    .as(name)
                    .isNotEmpty();
            assertThat(command.getCommandSpec().optionsMap().keySet())
                    .as(name)
                    .contains("--help", "--dir", "--rounds", "--seconds", "--size", "--only", "--json", "--quiet");
        });
        assertThat(Objects.requireNonNull(COMMANDS.get("strategies"))
                        .getCommandSpec()
                        .optionsMap())
                .containsKey("--plot");
    }
}
