package dev.ferry.cli;

import dev.ferry.migration.chain.ChainStatus;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ChainRequest;
import dev.ferry.server.api.RateRequest;
import dev.ferry.server.client.DaemonClient;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry disk commit}, {@code stream} and {@code job}: changes to the chain of a disk, in use or not. */
final class DiskChainCommands {
    private static final long LOOK_NANOS = 200_000_000;
    private static final long PLAIN_NANOS = 5_000_000_000L;

    private DiskChainCommands() {}

    private static String jobOf(String disk) {
        return "/v1/jobs/" + DaemonClient.segment(disk);
    }

    /** What both have in common. */
    abstract static class Changing extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "DISK", description = "The disk.")
        private String name = "";

        @Option(
                names = "--rate",
                paramLabel = "R",
                converter = Quantities.Rate.class,
                defaultValue = "0",
                description = "Copy at most so many bytes a second, such as 100M.")
        private long bytesPerSecond;

        @Option(names = "--detach", description = "Do not wait for its end.")
        private boolean detach;

        Changing(Screen screen) {
            super(screen);
        }

        final void ask(DaemonClient client, String what, @Nullable String layer, int depth) throws Exception {
            String disk = Names.checked("disk", name);
            ChainRequest request = new ChainRequest(layer, depth, bytesPerSecond);
            ChainStatus status = client.post(DiskCommands.path(disk) + "/" + what, request, ChainStatus.class);
            if (!detach) {
                status = watched(client, status);
                if (status.state().equals("failed")) {
                    throw Problems.conflict("the " + what + " of disk " + disk
                            + " has failed, and the disk is what it was: " + status.problem());
                }
                if (status.state().equals("cancelled")) {
                    throw Problems.conflict(
                            "the " + what + " of disk " + disk + " was cancelled; the disk is what it was");
                }
            }
            ChainStatus end = status;
            tell(end, () -> screen.print(end.over() ? over(end) : line(end)));
        }

        private ChainStatus watched(DaemonClient client, ChainStatus begun) throws Exception {
            ChainStatus status = begun;
            long toldNanos = System.nanoTime();
            while (!status.over()) {
                LockSupport.parkNanos(LOOK_NANOS);
                status = client.get(jobOf(begun.disk()), ChainStatus.class);
                if (screen.terminal()) {
                    screen.out().print("\r\u001b[K" + (status.over() ? "" : line(status)));
                    screen.out().flush();
                } else if (System.nanoTime() - toldNanos > PLAIN_NANOS) {
                    toldNanos = System.nanoTime();
                    String now = line(status);
                    tell(status, () -> screen.print(now));
                }
            }
            return status;
        }

        private static String over(ChainStatus status) {
            boolean commit = status.kind().equals("commit");
            return "disk " + status.disk()
                    + (commit
                            ? " is what was " + status.base() + ", with all that lay over it"
                            : status.base() == null ? " lies over nothing any more" : " lies over " + status.base());
        }
    }

    private static String line(ChainStatus status) {
        Long left = status.secondsLeft();
        long percent = status.totalBytes() == 0 ? 0 : 100 * status.doneBytes() / status.totalBytes();
        return String.format(
                Locale.ROOT,
                "%s of %s: %s  %d %%  %s of %s  %s%s",
                status.kind(),
                status.disk(),
                status.state(),
                percent,
                Quantities.size(status.doneBytes()),
                Quantities.size(status.totalBytes()),
                Quantities.rate(status.speedBytesPerSecond()),
                left == null ? "" : "  " + Quantities.time(left) + " left");
    }

    @Command(
            name = "commit",
            description = {
                "Puts what the upper layers of a disk hold into one below them, while a guest works on it; that one is the disk"
                        + " then, under the disk's name, and the layers are gone.",
                "Killed at any time it leaves the disk reading the same, and goes on with the daemon. Refused where another disk"
                        + " lies over that layer."
            },
            footer = {
                "",
                "Examples:",
                "  ferry disk commit vm1",
                "  ferry disk commit vm1 --depth 2 --rate 100M --detach"
            })
    static final class Commit extends Changing {
        @Option(names = "--into", paramLabel = "FILE", description = "Which of its layers (default: the next).")
        private @Nullable String into;

        @Option(names = "--depth", paramLabel = "N", defaultValue = "1", description = "The same by number, from 1.")
        private int depth;

        Commit(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            ask(client, "commit", into, depth);
        }
    }

    @Command(
            name = "stream",
            description = {
                "Has a disk take over what lies below it, while a guest works on it, so that it lies over nothing any more; or over"
                        + " one of its lower layers.",
                "Killed at any time it leaves the disk reading the same, and goes on with the daemon."
            },
            footer = {"", "Examples:", "  ferry disk stream vm1", "  ferry disk stream vm1 --from golden.qcow2"})
    static final class Stream extends Changing {
        @Option(names = "--from", paramLabel = "FILE", description = "The layer that stays below it (default: none).")
        private @Nullable String from;

        Stream(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            ask(client, "stream", from, 0);
        }
    }

    @Command(
            name = "job",
            description = "Commits and streams that are under way, or have been since the daemon started.",
            synopsisSubcommandLabel = "COMMAND")
    private static final class Job {}

    static CommandLine jobs(Screen screen) {
        return new CommandLine(new Job())
                .addSubcommand(new Ls(screen))
                .addSubcommand(new Cancel(screen))
                .addSubcommand(new Rate(screen));
    }

    @Command(name = "ls", description = "Lists them, the last one of each disk.")
    private static final class Ls extends DaemonCommand.WithJson {
        Ls(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            List<ChainStatus> all = List.of(client.get("/v1/jobs", ChainStatus[].class));
            tell(
                    all,
                    () -> all.forEach(
                            one -> screen.print(line(one) + (one.problem() == null ? "" : "  " + one.problem()))));
        }
    }

    @Command(name = "cancel", description = "Calls the job of a disk off; the disk stays what it was.")
    private static final class Cancel extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "DISK", description = "The disk.")
        private String name = "";

        Cancel(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            ChainStatus status =
                    client.post(jobOf(Names.checked("disk", name)) + "/cancel", Map.of(), ChainStatus.class);
            tell(
                    status,
                    () -> screen.print("the " + status.kind() + " of disk " + status.disk() + " is being called off"));
        }
    }

    @Command(name = "rate", description = "Bounds the copying of a disk's job from now on.")
    private static final class Rate extends DaemonCommand.WithJson {
        @Parameters(index = "0", paramLabel = "DISK", description = "The disk.")
        private String name = "";

        @Parameters(
                index = "1",
                paramLabel = "R",
                converter = Quantities.Rate.class,
                description = "Bytes a second, such as 100M; 0 is no bound.")
        private long bytesPerSecond;

        Rate(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            ChainStatus status = client.post(
                    jobOf(Names.checked("disk", name)) + "/rate", new RateRequest(bytesPerSecond), ChainStatus.class);
            tell(
                    status,
                    () -> screen.print("the " + status.kind() + " of disk " + status.disk() + " is bounded to "
                            + Quantities.rate(bytesPerSecond)));
        }
    }
}
