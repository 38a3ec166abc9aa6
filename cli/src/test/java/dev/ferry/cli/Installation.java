package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * What the processes of tests run from: {@code src/test/quick-java} makes it when the first of them starts. Whoever waits for a
 * process's first words asks here how to start it, so that the making is no part of the wait. Any thread.
 */
public final class Installation {
    private static boolean made;

    private Installation() {}

    /** The command that runs {@code ferry ARGUMENTS...}; what it runs from is there. */
    public static List<String> command(Self.Part part, List<String> arguments) throws IOException {
        make();
        return Self.command(part, arguments);
    }

    /** Returns when it is there. */
    public static synchronized void make() throws IOException {
        if (made) {
            return;
        }
        Process first = new ProcessBuilder(Self.command(Self.Part.DAEMON, List.of("--version")))
                .redirectErrorStream(true)
                .start();
        String said = new String(first.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        try {
            assertThat(first.waitFor()).as(said).isZero();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", interrupted);
        }
        made = true;
    }
}
