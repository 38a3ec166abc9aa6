package dev.ferry.cli;

import dev.ferry.migration.MigrationState;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.server.client.DaemonClient;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry migration commit} and {@code rollback}: how the way back ends that {@code migrate --grace} keeps open. */
final class WayBackCommands {
    private WayBackCommands() {}

    /** How a way back is, in words. */
    static String words(WayBack way) {
        Long left = way.secondsLeft();
        String open = left == null
                ? "open until 'commit'"
                : "open for " + Quantities.time(left) + " more, until " + way.openUntil();
        if (way.inStep()) {
            return open + "; the old side is in step";
        }
        String behind = "; the old side is behind by " + Quantities.size(way.behindBytes());
        return way.trouble() == null
                ? open + behind + ", and is being caught up"
                : open + behind + ", and away: " + way.trouble();
    }

    @Command(
            name = "commit",
            description = {
                "Closes the way back of a move that has switched and deletes the old files (with --keep-source they",
                "stay, as the disk is now). Does, too, what a move could not do after its switch, such as deleting",
                "a source that was away.",
                "",
                "A move with 'migrate --grace 30m' is committed by itself when that time is over; one with",
                "'--grace until-commit' waits for this command."
            })
    static final class Commit extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "ID", description = "The move.")
        private String id = "";

        Commit(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            MigrationStatus status = client.post(Watch.path(id) + "/commit", Map.of(), MigrationStatus.class);
            tell(status, () -> {
                String error = status.error();
                screen.print("migration " + status.id() + " is "
                        + status.state().text() + (error == null ? "" : ": " + error));
            });
        }
    }

    @Command(
            name = "rollback",
            description = {
                "Takes the guests of a move that has switched back to the old side, live, with every byte that they",
                "have written since; all disks of the move together, or none. What was made at the target is deleted.",
                "",
                "That needs a way back: 'migrate --grace 30m' keeps the old side in step for so long after the",
                "switch, '--grace until-commit' until 'migration commit'. 'migration show' says how long the way",
                "back stays open, and how far it is in step. While the old side is behind, because it was away, it is",
                "caught up by itself, and a rollback is refused until it is in step."
            },
            footer = {"", "Examples:", "  ferry migrate vm1 --to fast --grace 1h", "  ferry migration rollback m1"})
    static final class Rollback implements Callable<Integer> {
        private final Screen screen;

        @Mixin
        private final DaemonOptions daemon = new DaemonOptions();

        @Parameters(paramLabel = "ID", description = "The move.")
        private String id = "";

        @Option(names = "--json", description = "Tells it as JSON.")
        private boolean json;

        Rollback(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            try (DaemonClient client = daemon.client()) {
                MigrationStatus status = client.post(Watch.path(id) + "/rollback", Map.of(), MigrationStatus.class);
                if (json) {
                    screen.json(status);
                } else if (status.state() == MigrationState.ROLLED_BACK) {
                    tell(screen, status);
                } else {
                    screen.error("migration " + status.id() + ": " + status.error());
                }
                return status.state() == MigrationState.ROLLED_BACK ? Ferry.DONE : Ferry.FAILED;
            }
        }
    }

    static void tell(Screen screen, MigrationStatus status) {
        for (MigrationStatus.DiskStatus disk : status.disks()) {
            Double pauseMillis = disk.rollbackPauseMillis();
            screen.print("disk " + screen.bold(disk.name()) + " is back on " + disk.sourceDatastore()
                    + (pauseMillis == null ? "" : "; the guest paused for " + Quantities.millis(pauseMillis)));
        }
        screen.print(status.id() + ": rolled back; the copies on " + status.targetDatastore() + " are gone");
    }
}
