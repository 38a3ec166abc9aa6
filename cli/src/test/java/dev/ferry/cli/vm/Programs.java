package dev.ferry.cli.vm;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** Other programs: where they are, and running one to its end. Any thread. */
final class Programs {
    private Programs() {}

    /** What a program left: its exit status, and what it wrote to standard output and to standard error. */
    record Outcome(int status, String output, String errors) {
        /** The output of a program that must have succeeded. */
        String outputOfSuccess(String what) {
            if (status != 0) {
                throw new AssertionError(what + " ended with " + status + ": " + errors + output);
            }
            return output;
        }
    }

    /** Finds {@code name} on PATH and in the directories of a system administrator. */
    static Optional<Path> find(String name) {
        String path = Optional.ofNullable(System.getenv("PATH")).orElse("") + ":/usr/sbin:/sbin:/usr/bin:/bin";
        return Stream.of(path.split(":"))
                .filter(directory -> !directory.isEmpty())
                .map(directory -> Path.of(directory, name))
                .filter(Files::isExecutable)
                .findFirst();
    }

    /** Runs a command to its end, in {@code directory}; fails if that takes longer than {@code limit}. */
    static Outcome run(Path directory, Duration limit, List<String> command) {
        try {
            Path output = Files.createTempFile(directory, "output", "");
            Path errors = Files.createTempFile(directory, "errors", "");
            Process process = new ProcessBuilder(command)
                    .directory(directory.toFile())
                    .redirectInput(
                            ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
                    .redirectOutput(output.toFile())
                    .redirectError(errors.toFile())
                    .start();
            if (!process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly().waitFor();
                throw new AssertionError(
                        "not done after " + limit.toSeconds() + " s: " + command + "\n" + Files.readString(errors));
            }
            Outcome outcome = new Outcome(
                    process.exitValue(),
                    Files.readString(output, StandardCharsets.ISO_8859_1),
                    Files.readString(errors, StandardCharsets.ISO_8859_1));
            Files.delete(output);
            Files.delete(errors);
            return outcome;
        } catch (IOException e) {
            throw new UncheckedIOException("could not run " + command, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new AssertionError("interrupted while running " + command, e);
        }
    }
}
