package dev.ferry.cli;

import dev.ferry.server.api.Json;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where a command's words go: answers to standard output, an error to standard error. Colours and lines that change are
 * for terminals only.
 */
public final class Screen {
    private final PrintStream out;
    private final PrintStream err;
    private final boolean terminal;
    private final boolean colour;

    /** @param terminal somebody watches: lines may change, and colours may be used */
    public Screen(PrintStream out, PrintStream err, boolean terminal) {
        this.out = out;
        this.err = err;
        this.terminal = terminal;
        String no = System.getenv("NO_COLOR");
        this.colour = terminal && (no == null || no.isEmpty());
    }

    static Screen ofProcess() {
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        return new Screen(out, System.err, isTerminal(1));
    }

    /** Asked of the kernel's own listing, which is there before any library. */
    private static boolean isTerminal(int descriptor) {
        try {
            String target = Files.readSymbolicLink(Path.of("/proc/self/fd/" + descriptor))
                    .toString();
            return (target.startsWith("/dev/pts/") || target.startsWith("/dev/tty")) && System.getenv("TERM") != null;
        } catch (IOException unknown) {
            return false;
        }
    }

    public PrintStream out() {
        return out;
    }

    public PrintStream err() {
        return err;
    }

    public boolean terminal() {
        return terminal;
    }

    public boolean colour() {
        return colour;
    }

    public void print(String line) {
        out.println(line);
    }

    /** Several lines of JSON. */
    public void json(Object value) {
        out.println(Json.pretty(value));
    }

    /** The one line that says why a command failed. */
    public void error(String line) {
        err.println((colour ? "\u001b[31mferry:\u001b[0m " : "ferry: ") + line);
    }

    public String bold(String text) {
        return colour ? "\u001b[1m" + text + "\u001b[0m" : text;
    }

    public String green(String text) {
        return colour ? "\u001b[32m" + text + "\u001b[0m" : text;
    }

    public String red(String text) {
        return colour ? "\u001b[31m" + text + "\u001b[0m" : text;
    }

    public String faint(String text) {
        return colour ? "\u001b[2m" + text + "\u001b[0m" : text;
    }
}
