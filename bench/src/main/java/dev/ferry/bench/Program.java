package dev.ferry.bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Runs other programs to their end. */
final class Program {
    private Program() {}

    /**
     * Runs a command that must succeed.
     *
     * @param scratch a directory for its output
     * @return its standard output
     */
    static String run(Path scratch, List<String> command) {
        try {
            Path output = Files.createTempFile(scratch, "output", "");
            Path errors = Files.createTempFile(scratch, "errors", "");
            Process process = new ProcessBuilder(command)
                    .redirectInput(Path.of("/dev/null").toFile())
                    .redirectOutput(output.toFile())
                    .redirectError(errors.toFile())
                    .start();
            int status = process.waitFor();
            String said = Files.readString(output, StandardCharsets.ISO_8859_1);
            String complained = Files.readString(errors, StandardCharsets.ISO_8859_1);
            Files.delete(output);
            Files.delete(errors);
            if (status != 0) {
                throw new BenchException(
                        String.join(" ", command) + " ended with " + status + ": " + complained + said);
            }
            return said;
        } catch (IOException e) {
            throw new BenchException("cannot run " + command.getFirst() + ": " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted while running " + command.getFirst(), e);
        }
    }
}
