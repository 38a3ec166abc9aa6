package dev.ferry.cli;

import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.server.client.DaemonClient;
import java.util.Locale;

/** Follows a move to its end, through restarts of the daemon. */
final class Watch {
    private static final long POLL_MILLIS = 100;
    private static final long AWAY_NANOS_MAX = 30_000_000_000L;

    private final Screen screen;
    private final DaemonClient client;
    private final boolean json;

    Watch(Screen screen, DaemonClient client, boolean json) {
        this.screen = screen;
        this.client = client;
        this.json = json;
    }

    int toTheEnd(String id) throws ProblemException, InterruptedException {
        Progress progress = new Progress(screen, json);
        while (true) {
            MigrationStatus status = ask(id);
            boolean last = switch (status.state()) {
                case RUNNING, PAUSED -> false;
                // On its way to the end, unless something keeps it there.
                case SWITCHED -> status.error() != null || status.wayBack() != null;
                case PARKED, DONE, FAILED, CANCELLED, ROLLED_BACK -> true;
            };
            if (last) {
                progress.end();
                return end(status);
            }
            progress.show(status);
            Thread.sleep(POLL_MILLIS);
        }
    }

    private MigrationStatus ask(String id) throws ProblemException, InterruptedException {
        long sinceNanos = System.nanoTime();
        while (true) {
            try {
                return client.get(path(id), MigrationStatus.class);
            } catch (ProblemException problem) {
                if (problem.kind() != ProblemKind.UNAVAILABLE || System.nanoTime() - sinceNanos > AWAY_NANOS_MAX) {
                    throw problem;
                }
                Thread.sleep(POLL_MILLIS);
            }
        }
    }

    static String path(String id) {
        return "/v1/migrations/" + DaemonClient.segment(id);
    }

    private int end(MigrationStatus status) {
        if (json) {
            screen.json(status);
        }
        String why = status.error() == null ? "no reason was given" : status.error();
        return switch (status.state()) {
            case DONE -> {
                if (!json) {
                    summary(status, status.keepSource() ? "the old files are kept" : "the old files are gone");
                }
                yield Ferry.DONE;
            }
            case SWITCHED -> {
                WayBack way = status.wayBack();
                if (way != null) {
                    if (!json) {
                        summary(status, "way back " + WayBackCommands.words(way));
                        screen.print(
                                "'ferry migration rollback " + status.id() + "' takes the guest back, 'ferry migration"
                                        + " commit " + status.id() + "' closes the way back");
                    }
                    yield Ferry.DONE;
                }
                screen.error("migration " + status.id() + " has switched to the target, but is not over: " + why
                        + "; 'ferry migration commit " + status.id() + "' tries again");
                yield Ferry.FAILED;
            }
            case PARKED -> {
                screen.error("migration " + status.id() + " is parked, and the guest runs on: " + why
                        + "; mend that and 'ferry migration resume " + status.id() + "', or cancel it");
                yield Ferry.FAILED;
            }
            case CANCELLED -> {
                screen.error("migration " + status.id() + " was cancelled; the disks are where they were");
                yield Ferry.FAILED;
            }
            case ROLLED_BACK -> {
                if (!json) {
                    WayBackCommands.tell(screen, status);
                }
                yield Ferry.DONE;
            }
            case FAILED, RUNNING, PAUSED -> {
                screen.error("migration " + status.id() + " failed, and the disks are where they were: " + why);
                yield Ferry.FAILED;
            }
        };
    }

    private void summary(MigrationStatus status, String oldFiles) {
        for (MigrationStatus.DiskStatus disk : status.disks()) {
            Double pauseMillis = disk.switchoverPauseMillis();
            screen.print("disk " + screen.bold(disk.name()) + " is on " + status.targetDatastore() + " now"
                    + (pauseMillis == null ? "" : "; the guest paused for " + Quantities.millis(pauseMillis))
                    + (disk.verified() ? "; proven equal before the switch" : ""));
        }
        for (MigrationStatus.DiskStatus disk : status.disks()) {
            if (disk.offloadRefusal() != null) {
                screen.print("disk " + disk.name() + ": the store did not copy it to its end by itself: "
                        + disk.offloadRefusal());
            }
        }
        status.bases().forEach(base -> screen.print(BaseWords.done(base)));
        status.internalSnapshots().forEach(one -> screen.print(BaseWords.done(one)));
        long copied = BaseWords.copiedBytes(status)
                + status.disks().stream()
                        .mapToLong(MigrationStatus.DiskStatus::bytesCopied)
                        .sum();
        screen.print(String.format(
                Locale.ROOT,
                "%s: %s copied in %.1f s (%s), %s",
                status.id(),
                Quantities.size(copied),
                status.seconds(),
                status.mover(),
                oldFiles));
    }
}
