package dev.ferry.cli;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** Starts this command again as a process of its own, and returns when it has said its first line. */
final class Background {
    private Background() {}

    /**
     * @param arguments of the whole command line, {@code --fork} among them
     * @return the exit status: that of the process if it ended without a word
     */
    static int start(Screen screen, List<String> arguments) throws IOException, InterruptedException {
        List<String> again = new ArrayList<>(arguments);
        again.removeIf("--fork"::equals);
        List<String> command = new ArrayList<>(List.of("setsid"));
        command.addAll(Self.command(Self.Part.DAEMON, again));
        Process process = new ProcessBuilder(command)
                .redirectInput(new File("/dev/null"))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        BufferedReader words = process.inputReader(StandardCharsets.UTF_8);
        String first = words.readLine();
        if (first == null) {
            return process.waitFor();
        }
        screen.print(first);
        return Ferry.DONE;
    }
}
