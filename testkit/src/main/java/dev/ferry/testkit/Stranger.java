package dev.ferry.testkit;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;

/**
 * A program that others wrote, run to its end within a bound on time, in a folder of its own that is gone afterwards. Any thread.
 *
 * @param command what was run
 * @param exitCode how it ended
 * @param output what it said, standard output and errors together
 */
public record Stranger(String command, int exitCode, String output) {
    private static final long SECONDS_MAX = 180;

    /**
     * Runs a program and gives what became of it.
     *
     * @param program its name, and the test is skipped where the machine has none such; or its path
     * @param arguments each as its text
     */
    public static Stranger run(String program, Object... arguments) {
        List<String> command = new ArrayList<>();
        command.add(
                program.startsWith("/") ? program : Requires.program(program).toString());
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        try {
            Path folder = Files.createTempDirectory("stranger");
            try {
                return run(command, folder);
            } finally {
                delete(folder);
            }
        } catch (IOException failed) {
            throw new UncheckedIOException("could not run " + command, failed);
        }
    }

    private static Stranger run(List<String> command, Path folder) throws IOException {
        Path output = folder.resolve("output.txt");
        Process process = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectOutput(output.toFile())
                .start();
        boolean ended = false;
        try {
            ended = process.waitFor(SECONDS_MAX, TimeUnit.SECONDS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        String shown = String.join(" ", command);
        String said = new String(Files.readAllBytes(output), StandardCharsets.UTF_8);
        if (!ended) {
            process.destroyForcibly();
            Assertions.fail(shown + " does not end; it said: " + said);
        }
        return new Stranger(shown, process.exitValue(), said);
    }

    /** With what the program left in its working directory. */
    private static void delete(Path folder) throws IOException {
        try (Stream<Path> left = Files.list(folder)) {
            for (Path file : left.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    /** Runs a program that must succeed, and gives what it said. */
    public static String succeeds(String program, Object... arguments) {
        Stranger ended = run(program, arguments);
        Assertions.assertEquals(0, ended.exitCode, () -> ended.command + " said: " + ended.output);
        return ended.output;
    }
}
