package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Another program, run to its end. */
public final class Program {
    private static final int SECONDS_MAX = 60;

    private Program() {}

    /** What a run of a program came to. */
    public record Outcome(int status, String output) {}

    public static Outcome run(String program, Object... arguments) {
        List<String> command = new ArrayList<>(List.of(Requires.program(program).toString()));
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            process.getOutputStream().close();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(SECONDS_MAX, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new AssertionError(command + " does not end");
            }
            return new Outcome(process.exitValue(), output);
        } catch (IOException | InterruptedException failed) {
            throw new AssertionError(failed);
        }
    }

    /** Runs one that must succeed, and gives what it said. */
    public static String ok(String program, Object... arguments) {
        Outcome outcome = run(program, arguments);
        assertThat(outcome.status()).as(outcome.output()).isZero();
        return outcome.output();
    }
}
