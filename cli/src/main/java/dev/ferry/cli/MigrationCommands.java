package dev.ferry.cli;

import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.migration.Receipt;
import dev.ferry.server.api.RateRequest;
import dev.ferry.server.client.DaemonClient;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry migration}: moves under way and past. */
@Command(
        name = "migration",
        description = "Moves under way and past: watches and steers them, commits them, takes them back.",
        synopsisSubcommandLabel = "COMMAND")
final class MigrationCommands {

    private MigrationCommands() {}

    static CommandLine of(Screen screen) {
        CommandLine line = new CommandLine(new MigrationCommands())
                .addSubcommand(new Ls(screen))
                .addSubcommand(new Show(screen))
                .addSubcommand(new WatchOne(screen))
                .addSubcommand(new ShowReceipt(screen))
                .addSubcommand(new Rate(screen))
                .addSubcommand(new ModeCommand(screen))
                .addSubcommand(new VerifyCommand(screen))
                .addSubcommand(new WayBackCommands.Commit(screen))
                .addSubcommand(new WayBackCommands.Rollback(screen));
        for (Steering steering : Steering.values()) {
            CommandLine one = new CommandLine(new Steer(screen, steering));
            one.getCommandSpec().usageMessage().description(steering.description);
            line.addSubcommand(steering.name().toLowerCase(Locale.ROOT), one);
        }
        return line;
    }

    private enum Steering {
        PAUSE("Stops a move's copying; the guest's writes still go where they have to."),
        RESUME("Goes on with a move that is paused or parked."),
        CANCEL("Calls a move off; the disk stays where it is, and what was made at the target is deleted.");

        private final String description;

        Steering(String description) {
            this.description = description;
        }
    }

    @Command(name = "ls", description = "Lists all moves, the oldest first.")
    private static final class Ls extends DaemonCommand.WithJson {
        Ls(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            List<MigrationStatus> all = List.of(client.get("/v1/migrations", MigrationStatus[].class));
            tell(all, () -> print(all));
        }

        private void print(List<MigrationStatus> all) {
            Table table = new Table("ID", "STATE", "PHASE", "PROGRESS", "DISKS", "TO", "STARTED");
            for (MigrationStatus one : all) {
                table.row(
                        one.id(),
                        one.state().text(),
                        one.phase().text(),
                        String.format(Locale.ROOT, "%.0f %%", Progress.percent(one)),
                        names(one),
                        one.targetDatastore(),
                        one.startedAt());
            }
            table.print(screen);
        }
    }

    private static String names(MigrationStatus status) {
        return status.disks().stream().map(MigrationStatus.DiskStatus::name).collect(Collectors.joining(" "));
    }

    @Command(name = "show", description = "Shows one move.")
    private static final class Show extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "ID", description = "The move.")
        private String id = "";

        Show(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            MigrationStatus status = client.get(Watch.path(id), MigrationStatus.class);
            tell(status, () -> print(status));
        }

        private void print(MigrationStatus s) {
            screen.print("id        " + screen.bold(s.id()));
            screen.print("state     " + s.state().text() + ", phase "
                    + s.phase().text() + (s.error() == null ? "" : ": " + s.error()));
            screen.print("to        " + s.targetDatastore());
            screen.print(String.format(
                    Locale.ROOT,
                    "progress  %.0f %%, %s of %s at %s",
                    s.progress(),
                    Quantities.size(s.doneBytes()),
                    Quantities.size(s.totalBytes()),
                    Quantities.rate(s.bytesPerSecond())));
            Progress.convergence(s).forEach(screen::print);
            if (s.eta() != null) {
                screen.print("eta       " + Progress.left(s.eta()));
            }
            MigrationStatus.Verification verification = s.verification();
            if (verification != null) {
                screen.print(String.format(
                        Locale.ROOT,
                        "verify    %.0f %%, %s of %s at %s",
                        verification.progress(),
                        Quantities.size(verification.doneBytes()),
                        Quantities.size(verification.totalBytes()),
                        Quantities.rate(verification.bytesPerSecond())));
            }
            screen.print("rate      "
                    + (s.rateBytesPerSecond() == 0 ? "no bound" : Quantities.rate(s.rateBytesPerSecond())));
            screen.print("mode      " + s.mode());
            screen.print("mover     " + s.mover());
            screen.print("verified  " + (s.verified() ? "yes" : "no"));
            s.bases().forEach(base -> screen.print("base      " + BaseWords.of(base)));
            s.internalSnapshots().forEach(one -> screen.print("snapshots " + BaseWords.of(one)));
            for (MigrationStatus.DiskStatus disk : s.disks()) {
                if (disk.proof() != null) {
                    screen.print("compared  " + VerifyCommand.words(disk, disk.proof()));
                }
            }
            WayBack way = s.wayBack();
            if (way != null) {
                screen.print("way back  " + WayBackCommands.words(way));
            }
            if (s.resumed() != null) {
                screen.print("history   " + s.resumed().told());
            }
            screen.print("started   " + s.startedAt() + (s.endedAt() == null ? "" : ", ended " + s.endedAt()));
            for (MigrationStatus.DiskStatus disk : s.disks()) {
                Double pauseMillis = disk.switchoverPauseMillis();
                screen.print("disk      " + disk.name() + ": " + Quantities.size(disk.bytesCopied()) + " copied, "
                        + Quantities.size(disk.bytesMirrored()) + " mirrored" + how(disk)
                        + (pauseMillis == null ? "" : ", switched in " + Quantities.millis(pauseMillis))
                        + (disk.rollbackPauseMillis() == null
                                ? ""
                                : ", back in " + Quantities.millis(disk.rollbackPauseMillis())));
            }
        }
    }

    private static String how(MigrationStatus.DiskStatus disk) {
        Double latencyMillis = disk.targetLatencyMillis();
        return (disk.mirroring() == null ? "" : " (" + disk.mirroring())
                + (latencyMillis == null ? "" : ", the target answers in " + Quantities.millis(latencyMillis))
                + (disk.mirroring() == null ? "" : ")");
    }

    @Command(
            name = "receipt",
            description = "What a move did and what proves it, as JSON; for moves whose guests have switched.")
    private static final class ShowReceipt extends DaemonCommand {
        @Parameters(paramLabel = "ID", description = "The move.")
        private String id = "";

        ShowReceipt(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            screen.json(client.get(Watch.path(id) + "/receipt", Receipt.class));
        }
    }

    @Command(name = "watch", description = "Follows a move until its guests have switched and nothing is left to do.")
    private static final class WatchOne implements Callable<Integer> {
        private final Screen screen;

        @Mixin
        private final DaemonOptions daemon = new DaemonOptions();

        @Parameters(paramLabel = "ID", description = "The move.")
        private String id = "";

        @Option(names = "--json", description = "Ends with one JSON object; shows no progress.")
        private boolean json;

        WatchOne(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            try (DaemonClient client = daemon.client()) {
                return new Watch(screen, client, json).toTheEnd(id);
            }
        }
    }

    @Command(
            name = "rate",
            description = {
                "Bounds a move from now on, such as 200M; 0 lifts the bound.",
                "It holds for all disks of the move together, for what is copied and then for what is read",
                "of each side to compare them; the guest's own writes are never held up."
            })
    private static final class Rate extends DaemonCommand {
        @Parameters(index = "0", paramLabel = "ID", description = "The move.")
        private String id = "";

        @Parameters(
                index = "1",
                paramLabel = "R",
                converter = Quantities.Rate.class,
                description = "Bytes per second, such as 200M.")
        private long bytesPerSecond;

        Rate(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            MigrationStatus status =
                    client.post(Watch.path(id) + "/rate", new RateRequest(bytesPerSecond), MigrationStatus.class);
            screen.print("migration " + status.id() + " copies "
                    + (bytesPerSecond == 0 ? "as fast as it can" : "at most " + Quantities.rate(bytesPerSecond)));
        }
    }

    @Command
    private static final class Steer extends DaemonCommand.WithJson {
        private final Steering steering;

        @Parameters(paramLabel = "ID", description = "The move.")
        private String id = "";

        Steer(Screen screen, Steering steering) {
            super(screen);
            this.steering = steering;
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String path = Watch.path(id) + "/" + steering.name().toLowerCase(Locale.ROOT);
            MigrationStatus status = client.post(path, Map.of(), MigrationStatus.class);
            tell(status, () -> {
                @Nullable String error = status.error();
                screen.print("migration " + status.id() + " is "
                        + status.state().text() + (error == null ? "" : ": " + error));
            });
        }
    }
}
