package dev.ferry.cli.demo;

import dev.ferry.cli.Self;
import dev.ferry.server.DataDirectory;
import dev.ferry.server.api.AttachAnswer;
import dev.ferry.server.api.AttachRequest;
import dev.ferry.server.api.DaemonView;
import dev.ferry.server.api.DatastoreAdd;
import dev.ferry.server.api.DatastoreView;
import dev.ferry.server.api.DiskCreate;
import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.client.DaemonClient;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A host for a demonstration: a temporary directory with two datastores and a daemon of its own. Gone when closed. */
final class DemoHost implements AutoCloseable {
    private static final long START_NANOS_MAX = TimeUnit.SECONDS.toNanos(30);
    private static final long POLL_MILLIS = 20;
    private static final long STOP_SECONDS_MAX = 15;

    private final Path directory;
    private final DataDirectory data;
    private final Path log;
    private final DaemonClient client;
    private @Nullable Process serve;
    private boolean closed;

    private DemoHost(Path directory) {
        this.directory = directory;
        this.data = DataDirectory.of(directory.resolve("data"));
        this.log = directory.resolve("serve.log");
        this.client = data.client();
    }

    static DemoHost start(Path parent) throws IOException, InterruptedException, ProblemException {
        Path directory = parent.resolve("ferry-demo-" + Long.toUnsignedString(new SecureRandom().nextLong()));
        DemoHost host = new DemoHost(directory);
        // Before there is anything to be taken away.
        Runtime.getRuntime().addShutdownHook(new Thread(host::close));
        try {
            host.makeDirectory();
            host.await(host.launch());
            for (String name : List.of("fast", "slow")) {
                Path path = Files.createDirectory(directory.resolve(name));
                host.client.post("/v1/datastores", new DatastoreAdd(name, "dir", path.toString()), DatastoreView.class);
            }
            return host;
        } catch (IOException | ProblemException | InterruptedException failed) {
            host.close();
            throw failed;
        }
    }

    private synchronized void makeDirectory() throws IOException {
        if (closed) {
            throw new IOException("interrupted");
        }
        Files.createDirectory(
                directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    }

    /** Nothing is started any more once the end of all this has begun. */
    private synchronized Process launch() throws IOException {
        if (closed) {
            throw new IOException("interrupted");
        }
        List<String> arguments = List.of("serve", "--data", data.path().toString());
        Process started = new ProcessBuilder(Self.command(Self.Part.SUPERVISOR, arguments))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        serve = started;
        return started;
    }

    private void await(Process started) throws IOException, InterruptedException {
        long sinceNanos = System.nanoTime();
        while (true) {
            try {
                client.get("/v1/daemon", DaemonView.class);
                return;
            } catch (ProblemException notYet) {
                if (!started.isAlive() || System.nanoTime() - sinceNanos > START_NANOS_MAX) {
                    String said = Files.readString(log).strip().replaceAll("\\s*\\R\\s*", " ");
                    throw new IOException("the daemon of the demonstration did not start: " + said, notYet);
                }
                Thread.sleep(POLL_MILLIS);
            }
        }
    }

    DaemonClient client() {
        return client;
    }

    /** Makes a disk on the first datastore and attaches it; gives its URI. */
    String makeDisk(String name, long sizeBytes) throws ProblemException {
        client.post("/v1/disks", new DiskCreate(name, "fast", sizeBytes, "raw", "thin", null), DiskView.class);
        return client.post("/v1/disks/" + name + "/attach", new AttachRequest(null), AttachAnswer.class)
                .uri();
    }

    @Override
    public synchronized void close() {
        if (closed) {
            return;
        }
        closed = true;
        client.close();
        Process started = serve;
        if (started != null) {
            end(started);
        }
        delete(directory);
    }

    private static void end(Process serve) {
        // Nothing here is worth being made durable: they end at once, the supervisor first, lest it start another
        // daemon.
        List<ProcessHandle> processes = new ArrayList<>(List.of(serve.toHandle()));
        serve.descendants().forEach(processes::add);
        for (ProcessHandle process : processes) {
            process.destroyForcibly();
        }
        for (ProcessHandle process : processes) {
            process.onExit()
                    .completeOnTimeout(process, STOP_SECONDS_MAX, TimeUnit.SECONDS)
                    .join();
        }
    }

    private static void delete(Path directory) {
        if (!Files.exists(directory)) {
            return;
        }
        try (Stream<Path> files = Files.walk(directory)) {
            files.sorted(Comparator.reverseOrder()).forEach(path -> {
                try {
                    Files.deleteIfExists(path);
                } catch (IOException failed) {
                    throw new UncheckedIOException(failed);
                }
            });
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }
}
