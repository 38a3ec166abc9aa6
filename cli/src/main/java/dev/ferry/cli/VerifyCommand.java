package dev.ferry.cli;

import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.MigrationStatus.DiskStatus;
import dev.ferry.migration.journal.DiskRecord.Proof;
import dev.ferry.server.client.DaemonClient;
import java.time.Instant;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry migration verify}: the proof once more, on demand. */
@Command(
        name = "verify",
        description = {
            "Reads and compares both sides now, beside the guest, and says what differs.",
            "",
            "While a move is under way what has been copied by now is compared; what differs is copied again, and",
            "the move compares everything before its switch as ever (unless --no-verify). While the way back is",
            "open ('migrate --grace') all of the disk is compared with the old side; what differs then is only",
            "said, since nobody but you can know which side is right: 'rollback' takes the guest to the old side,",
            "'commit' stays with the new one. The receipt of the move says what was found.",
            "",
            "Exit status 1 if anything differs."
        },
        footer = {"", "Example:", "  ferry migration verify m1"})
final class VerifyCommand implements Callable<Integer> {
    private static final long POLL_MILLIS = 100;

    private final Screen screen;

    @Mixin
    private final DaemonOptions daemon = new DaemonOptions();

    @Parameters(paramLabel = "ID", description = "The move.")
    private String id = "";

    @Option(names = "--json", description = "Ends with one JSON object; shows no progress.")
    private boolean json;

    VerifyCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        try (DaemonClient client = daemon.client()) {
            MigrationStatus before = client.get(Watch.path(id), MigrationStatus.class);
            MigrationStatus status = client.post(Watch.path(id) + "/verify", Map.of(), MigrationStatus.class);
            Progress progress = new Progress(screen, json);
            while (!proved(before, status) && !status.state().over()) {
                progress.show(status);
                Thread.sleep(POLL_MILLIS);
                status = client.get(Watch.path(id), MigrationStatus.class);
            }
            progress.end();
            return tell(before, status);
        }
    }

    private static boolean proved(MigrationStatus before, MigrationStatus now) {
        Map<String, @Nullable Proof> earlier = new HashMap<>();
        before.disks().forEach(disk -> earlier.put(disk.name(), disk.proof()));
        return now.disks().stream()
                .allMatch(disk -> disk.proof() != null && !Objects.equals(disk.proof(), earlier.get(disk.name())));
    }

    private int tell(MigrationStatus before, MigrationStatus status) {
        if (json) {
            screen.json(status);
        }
        if (!proved(before, status)) {
            screen.error("migration " + status.id() + " ended as "
                    + status.state().text() + " before its sides were compared; 'ferry migration receipt " + status.id()
                    + "' has its proof");
            return Ferry.FAILED;
        }
        boolean equal = true;
        for (DiskStatus disk : status.disks()) {
            Proof proof = Objects.requireNonNull(disk.proof());
            equal &= proof.equal();
            if (!json && proof.equal()) {
                screen.print("disk " + words(disk, proof));
            } else if (!proof.equal()) {
                screen.error("disk " + words(disk, proof));
            }
        }
        return equal ? Ferry.DONE : Ferry.FAILED;
    }

    /** What a comparison has found, in words. */
    static String words(DiskStatus disk, Proof proof) {
        String compared = Quantities.size(proof.comparedBytes())
                + (proof.comparedBytes() < disk.sizeBytes() ? " of " + Quantities.size(disk.sizeBytes()) : "")
                + " compared at " + Instant.ofEpochMilli(proof.atMillis());
        if (proof.failure() != null) {
            return disk.name() + " could not be compared: " + proof.failure();
        }
        if (proof.equal()) {
            return disk.name() + ": both sides are equal, " + compared;
        }
        return disk.name() + ": source and target differ in " + String.join(", ", proof.differences()) + "; " + compared
                + (proof.mended()
                        ? "; that is copied again"
                        : "; somebody wrote to one of them: 'rollback' takes the guest to the old side, 'commit' stays");
    }
}
