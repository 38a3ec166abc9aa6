package dev.ferry.nbd;

import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A server that others wrote, listening on a unix socket. */
final class StrangeServer implements AutoCloseable {
    private static final long SECONDS_MAX = 20;

    private final Process process;
    private final Path socket;

    private StrangeServer(Process process, Path socket) {
        this.process = process;
        this.socket = socket;
    }

    /** @param options what goes before the socket's path */
    static StrangeServer start(String program, List<String> options, Path socket, String... arguments)
            throws IOException, InterruptedException {
        List<String> all = new ArrayList<>(options);
        all.add(socket.toString());
        all.addAll(List.of(arguments));
        return start(program, socket, all);
    }

    /** @param arguments all of them; they say that it listens at the socket */
    static StrangeServer start(String program, Path socket, List<String> arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Requires.program(program).toString());
        command.addAll(arguments);
        Path said = socket.resolveSibling("server.txt");
        Process process = new ProcessBuilder(command)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectErrorStream(true)
                .redirectOutput(said.toFile())
                .start();
        StrangeServer server = new StrangeServer(process, socket);
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS_MAX);
        while (!server.listens()) {
            boolean died = process.waitFor(10, TimeUnit.MILLISECONDS);
            if (died || System.nanoTime() > end) {
                server.close();
                throw new AssertionError(
                        program + " does not listen: " + String.join(" ", command) + ": " + Files.readString(said));
            }
        }
        return server;
    }

    private boolean listens() {
        if (!Files.exists(socket)) {
            return false;
        }
        try {
            Linux.close(Sockets.connectUnix(socket));
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }

    Path socket() {
        return socket;
    }

    void kill() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    @Override
    public void close() throws IOException {
        process.destroy();
        try {
            if (!process.waitFor(SECONDS_MAX, TimeUnit.SECONDS)) {
                kill();
            }
        } catch (InterruptedException interrupted) {
            throw new AssertionError("interrupted", interrupted);
        }
        Files.deleteIfExists(socket);
    }
}
