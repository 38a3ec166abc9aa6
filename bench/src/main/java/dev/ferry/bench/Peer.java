package dev.ferry.bench;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** An NBD server that serves a file: Ferry's, or one to compare with. */
enum Peer {
    FERRY("ferry"),
    NBDKIT("nbdkit"),
    QEMU_NBD("qemu-nbd");

    private final String label;

    Peer(String label) {
        this.label = label;
    }

    /** What people call it. */
    String label() {
        return label;
    }

    /** Starts the server on {@code file}; its socket and its log are in {@code scratch}. */
    ServerProcess serve(Path file, Path scratch, BenchOptions options, ServerSuite suite) {
        Path log = scratch.resolve(label + ".log");
        Path socket = scratch.resolve(label + ".sock");
        forget(socket);
        boolean tcp = suite.tcp();
        int port = tcp ? freePort() : 0;
        suite.security().prepare(scratch);
        List<String> secrets = suite.security().options(this, scratch);
        List<String> command = command(file.toString(), socket.toString(), port, options, suite, secrets);
        return tcp
                ? ServerProcess.onPort(command, port, log)
                : ServerProcess.onSocket(command, socket, suite.security().uri(socket, scratch), log);
    }

    /** Not every server takes its socket with it when it goes. */
    private static void forget(Path socket) {
        try {
            Files.deleteIfExists(socket);
        } catch (IOException e) {
            throw new BenchException("cannot delete " + socket + ": " + e.getMessage(), e);
        }
    }

    private List<String> command(
            String file, String socket, int port, BenchOptions options, ServerSuite suite, List<String> secrets) {
        boolean direct = suite.direct();
        String format = suite.images() == ServerSuite.Images.NONE ? "raw" : "qcow2";
        List<String> command = new ArrayList<>();
        switch (this) {
            case FERRY -> {
                command.addAll(List.of(options.ferry(), "nbd", "serve", file, "--format", format));
                command.addAll(port == 0 ? List.of("--socket", socket) : List.of("--port", Integer.toString(port)));
                command.addAll(secrets);
                if (direct) {
                    command.add("--direct");
                }
            }
            case NBDKIT -> {
                command.addAll(List.of("nbdkit", "--foreground"));
                command.addAll(secrets);
                command.addAll(
                        port == 0
                                ? List.of("--unix", socket)
                                : List.of("--ipaddr", "127.0.0.1", "--port", Integer.toString(port)));
                command.addAll(List.of("file", file));
            }
            case QEMU_NBD -> {
                command.addAll(List.of("qemu-nbd", "--persistent", "--shared=0", "--discard=unmap"));
                command.addAll(direct ? List.of("--cache=none", "--aio=io_uring") : List.of("--cache=writeback"));
                command.addAll(
                        port == 0 ? List.of("--socket=" + socket) : List.of("--bind=127.0.0.1", "--port=" + port));
                // The servers take turns on one file, so none may lock it.
                command.add("--image-opts");
                command.add("driver=" + format + ",file.driver=file,file.locking=off,file.filename=" + file);
            }
        }
        return command;
    }

    private static int freePort() {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        } catch (IOException e) {
            throw new BenchException("no free port: " + e.getMessage(), e);
        }
    }
}
