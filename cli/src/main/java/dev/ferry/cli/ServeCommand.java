package dev.ferry.cli;

import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Signals;
import dev.ferry.server.Daemon;
import dev.ferry.server.DaemonSettings;
import dev.ferry.server.DataDirectory;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.supervise.Keeper;
import dev.ferry.server.supervise.Supervisor;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ferry serve}: the daemon of this host, below a supervisor that holds its sockets. */
@Command(
        name = "serve",
        description = {
            "Runs the daemon of this host.",
            "It runs until it is stopped (Ctrl-C, SIGTERM), and is started again when it crashes; the sockets",
            "that VMs connect to stay open meanwhile. SIGHUP has it replaced as 'ferry restart' does; where a disk",
            "moves it is not, and the log says so."
        },
        footer = {
            "",
            "Examples:",
            "  ferry serve",
            "  ferry serve --data /var/lib/ferry --direct",
            "",
            "Under systemd (Type=notify) the sockets are with systemd as well; see server/README.md for a unit."
        })
final class ServeCommand implements Callable<Integer> {
    private final Screen screen;

    @Mixin
    private final DaemonOptions daemon = new DaemonOptions();

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "0",
            description = "Event loops (default: one for each processor).")
    private int threads;

    @Option(
            names = "--loop",
            paramLabel = "KIND",
            defaultValue = "auto",
            description = "How they wait: auto (default), io_uring or epoll.")
    private String loop = "";

    @Option(names = "--direct", description = "Open disks past the page cache (O_DIRECT).")
    private boolean direct;

    @Option(names = "--cached", description = "Open disks through the page cache (default).")
    private boolean cached;

    @Mixin
    private final TableMemory tables = new TableMemory();

    @Option(names = "--no-supervisor", description = "Be the daemon itself, alone.")
    private boolean alone;

    ServeCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        if (direct && cached) {
            throw Problems.wrongUsage("--direct and --cached exclude each other; choose one");
        }
        if (threads < 0 || threads > 64) {
            throw Problems.wrongUsage("--threads is a number from 1 to 64, or 0 for one for each processor");
        }
        EventLoops.Kind kind = kind(loop);
        long tableBytes = tables.bytes();
        DataDirectory data = daemon.directory();
        data.make();
        if (alone) {
            return serve(new DaemonSettings(data, threads, kind, direct, tableBytes));
        }
        return supervise(data, tableBytes);
    }

    static EventLoops.Kind kind(String text) throws ProblemException {
        return switch (text) {
            case "auto" -> EventLoops.Kind.AUTO;
            case "io_uring" -> EventLoops.Kind.IO_URING;
            case "epoll" -> EventLoops.Kind.EPOLL;
            default ->
                throw Problems.wrongUsage("there is no loop called '" + text + "'; choose auto, io_uring or epoll");
        };
    }

    private int supervise(DataDirectory data, long tableBytes) throws IOException, InterruptedException {
        List<String> arguments = new ArrayList<>(List.of(
                "serve",
                "--no-supervisor",
                "--data",
                data.path().toString(),
                "--threads",
                Integer.toString(threads),
                "--loop",
                loop,
                TableMemory.NAME,
                Long.toString(tableBytes)));
        if (direct) {
            arguments.add("--direct");
        }
        try (DataDirectory.Hold _ = data.hold("supervisor", false);
                Keeper above = Keeper.ofEnvironment(System.getenv())) {
            List<String> command = Self.command(Self.Part.DAEMON, arguments);
            Supervisor supervisor = new Supervisor(data.notifySocket(), command, screen.err(), above);
            CountDownLatch over = new CountDownLatch(1);
            Thread hook = new Thread(() -> {
                supervisor.stop();
                awaitQuietly(over);
                // Asked to stop, and stopped: that is no failure, whatever signal it was.
                Runtime.getRuntime().halt(Ferry.DONE);
            });
            Runtime.getRuntime().addShutdownHook(hook);
            Signals.onHangUp(supervisor::renew);
            int status = supervisor.run();
            if (above.kind() == Keeper.Kind.NONE) {
                Files.deleteIfExists(data.nbdSocket());
            }
            Files.deleteIfExists(data.restSocket());
            over.countDown();
            removeHook(hook);
            return status;
        }
    }

    private static void removeHook(Thread hook) {
        try {
            Runtime.getRuntime().removeShutdownHook(hook);
        } catch (IllegalStateException running) {
            // It is what ends this process.
            Ending.await();
        }
    }

    private int serve(DaemonSettings settings) throws IOException {
        CompletableFuture<Daemon> started = new CompletableFuture<>();
        Signals.onHangUp(() -> {
            var _ = started.thenAccept(Daemon::renew);
        });
        Daemon running = Daemon.start(settings, Keeper.ofEnvironment(System.getenv()));
        started.complete(running);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            running.stop();
            Runtime.getRuntime().halt(Ferry.DONE);
        }));
        Ending.await();
        return Ferry.DONE;
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
