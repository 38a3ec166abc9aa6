package dev.ferry.cli;

import dev.ferry.cli.demo.DemoCommand;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.Daemon;
import dev.ferry.server.DaemonSettings;
import dev.ferry.server.DataDirectory;
import dev.ferry.server.supervise.Keeper;
import dev.ferry.server.supervise.Supervisor;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * Not a command: does a little of everything in one process, on a temporary directory, while the JVM watches and writes
 * down what it had to load. From that an installation makes its AOT caches, and every later start is quicker. With the
 * argument {@code tools} it does what the commands do that work without a daemon, which need a third of the classes.
 */
public final class Rehearsal {
    private static final Screen NOWHERE = new Screen(
            new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8),
            new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8),
            false);

    /** What the disk holds. */
    private static final int DATA_BYTES = 4 << 20;

    private static final long TABLE_BYTES = 2 << 20;

    private Rehearsal() {}

    public static void main(String[] arguments) throws IOException {
        Path stage = Files.createTempDirectory("ferry-rehearsal");
        try {
            if (arguments[0].equals("tools")) {
                useTools(stage);
            } else {
                perform(stage);
            }
        } finally {
            delete(stage);
        }
        System.exit(0);
    }

    private static void perform(Path stage) throws IOException {
        List<Class<?>> parts = List.of(Supervisor.class, Self.class, DemoCommand.class);
        Ferry.run(NOWHERE, "--help");
        parts.forEach(part -> Ferry.run(NOWHERE, "nonsense", part.getName()));
        DataDirectory data = DataDirectory.of(stage.resolve("data"));
        Daemon daemon =
                Daemon.start(new DaemonSettings(data, 1, EventLoops.Kind.AUTO, false, TABLE_BYTES), Keeper.none());
        Path fast = Files.createDirectory(stage.resolve("fast"));
        Path slow = Files.createDirectory(stage.resolve("slow"));
        String directory = data.path().toString();
        run("datastore", "add", "fast", "--path", fast.toString(), "--data", directory);
        run("datastore", "add", "slow", "--path", slow.toString(), "--data", directory);
        run("disk", "create", "d", "--datastore", "fast", "--size", "4M", "--data", directory);
        run("disk", "attach", "d", "--data", directory);
        run("disk", "ls", "--data", directory);
        run("disk", "show", "d", "--json", "--data", directory);
        run("datastore", "ls", "--json", "--data", directory);
        String uri = "nbd+unix:///d?socket=" + data.nbdSocket();
        run("nbd", "info", uri);
        Path file = Files.write(stage.resolve("file"), new byte[1 << 20]);
        run("nbd", "copy", file.toString(), uri);
        byte[] bytes = new byte[DATA_BYTES];
        Arrays.fill(bytes, DATA_BYTES / 4, DATA_BYTES / 2, (byte) 1);
        Path full = Files.write(stage.resolve("full"), bytes);
        run("nbd", "copy", full.toString(), uri);
        run("nbd", "copy", uri, stage.resolve("copy").toString());
        convert(stage, full.toString());
        run("migrate", "d", "--to", "slow", "--data", directory);
        run("migration", "ls", "--json", "--data", directory);
        run("disk", "detach", "d", "--data", directory);
        daemon.stop();
    }

    private static void useTools(Path stage) throws IOException {
        byte[] bytes = new byte[DATA_BYTES];
        Arrays.fill(bytes, DATA_BYTES / 4, DATA_BYTES / 2, (byte) 1);
        String full = Files.write(stage.resolve("full"), bytes).toString();
        String disk = Files.write(stage.resolve("disk"), new byte[DATA_BYTES]).toString();
        Path socket = stage.resolve("socket");
        Thread server =
                Thread.ofPlatform().daemon().start(() -> run("nbd", "serve", disk, "--socket", socket.toString()));
        while (!Files.exists(socket) && server.isAlive()) {
            Thread.onSpinWait();
        }
        String uri = "nbd+unix:///?socket=" + socket;
        run("nbd", "info", uri);
        run("nbd", "copy", full, uri);
        run("nbd", "copy", uri, stage.resolve("copy").toString());
        convert(stage, full);
    }

    private static void convert(Path stage, String full) {
        String image = stage.resolve("image.qcow2").toString();
        run("image", "convert", full, image, "--format", "qcow2");
        run("image", "convert", image, stage.resolve("raw").toString(), "--from-format", "qcow2", "--format", "raw");
        run("image", "info", image);
    }

    private static void run(String... arguments) {
        Ferry.run(NOWHERE, arguments);
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            files.sorted(Comparator.reverseOrder()).forEach(path -> {
                try {
                    Files.delete(path);
                } catch (IOException failed) {
                    throw new UncheckedIOException(failed);
                }
            });
        }
    }
}
