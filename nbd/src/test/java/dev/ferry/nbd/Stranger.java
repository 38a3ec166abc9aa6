package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** A program that others wrote, run to its end within a bound on time. */
record Stranger(String command, int exitCode, String output) {
    private static final long SECONDS_MAX = 60;

    /** Runs a program that the machine must have, and gives what became of it. */
    static Stranger run(String program, String... arguments) throws IOException, InterruptedException {
        Path found = program.startsWith("/") ? Path.of(program) : Requires.program(program);
        String[] command = new String[arguments.length + 1];
        command[0] = found.toString();
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        Path folder = Files.createTempDirectory("stranger");
        Path output = folder.resolve("output.txt");
        try {
            Process process = new ProcessBuilder(List.of(command))
                    .directory(folder.toFile())
                    .redirectErrorStream(true)
                    .redirectInput(Path.of("/dev/null").toFile())
                    .redirectOutput(output.toFile())
                    .start();
            boolean ended = process.waitFor(SECONDS_MAX, TimeUnit.SECONDS);
            if (!ended) {
                process.destroyForcibly().waitFor();
            }
            String said = Files.readString(output, StandardCharsets.UTF_8);
            String shown = program + " " + String.join(" ", Arrays.asList(arguments));
            assertThat(ended).as("%s ends; it said: %s", shown, said).isTrue();
            return new Stranger(shown, process.exitValue(), said);
        } finally {
            delete(folder);
        }
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
    static String succeeds(String program, String... arguments) throws IOException, InterruptedException {
        Stranger ended = run(program, arguments);
        assertThat(ended.exitCode)
                .as("%s said: %s", ended.command, ended.output)
                .isZero();
        return ended.output;
    }
}
