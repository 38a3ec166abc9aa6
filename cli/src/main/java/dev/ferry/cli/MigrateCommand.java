package dev.ferry.cli;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.Strategy;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.server.Problems;
import dev.ferry.server.api.DiskShape;
import dev.ferry.server.api.MigrateRequest;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.client.DaemonClient;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry migrate}: moves disks to another datastore, while they are in use. */
@Command(
        name = "migrate",
        description = {
            "Moves disks to another datastore, live.",
            "The VM reads and writes all the while; at the end it is switched over, and the old files are deleted."
        },
        footer = {
            "",
            "Examples:",
            "  ferry migrate vm1 --to slow",
            "  ferry migrate vm1 vm1-data --to slow --rate 200M --keep-source",
            "  ferry migrate vm1 --to slow --dry-run",
            "  ferry migrate vm1 --to slow --format qcow2 --extended-l2",
            "  ferry migrate vm1 vm2 --to slow --with-snapshots",
            "  ferry migrate vm1 --to fast --grace 1h        and, if it is not well there: ferry migration rollback m1",
            "",
            "A disk that is a qcow2 image and stays one keeps its shape; of one that is said, what is not said is as usual.",
            "Ctrl-C leaves the move to the daemon; 'ferry migration watch ID' shows it again,",
            "'ferry migration cancel ID' calls it off."
        })
final class MigrateCommand implements Callable<Integer> {
    private final Screen screen;

    @Mixin
    private final DaemonOptions daemon = new DaemonOptions();

    @Parameters(paramLabel = "DISK", arity = "1..*", description = "What to move; several go together.")
    private List<String> disks = List.of();

    @Option(names = "--to", paramLabel = "DATASTORE", required = true, description = "Where to.")
    private String target = "";

    @Option(
            names = "--mode",
            paramLabel = "MODE",
            defaultValue = "mirror",
            description = {
                "mirror (default): what the guest writes goes to both sides; there is always an end.",
                "tracking: it goes to the source alone and is copied again, until so little is left that the guest is",
                "held for it; 'ferry migration mode ID mirror' changes over while it runs.",
                "snapshot: likewise, and it goes to an overlay meanwhile, so that what is copied stands still."
            })
    private String mode = "";

    @Option(
            names = "--max-downtime",
            paramLabel = "MS",
            defaultValue = "0",
            description = "With --mode tracking or snapshot: hold the guest at most about this long (default: 300 ms).")
    private double maxDowntimeMillis;

    @Option(
            names = "--format",
            paramLabel = "F",
            description = "raw, qcow2, vmdk, vhd or vhdx (default: what each disk is).")
    private @Nullable String format;

    @Option(
            names = "--provisioning",
            paramLabel = "P",
            description = "thin, lazy or eager (default: what each disk is).")
    private @Nullable String provisioning;

    @Mixin
    private final ShapeOptions shape = new ShapeOptions();

    @Option(
            names = "--rate",
            paramLabel = "R",
            converter = Quantities.Rate.class,
            defaultValue = "0",
            description = {
                "Copy at most this much per second, such as 200M, all disks together (default: no bound);",
                "the comparison before the switch keeps to it too."
            })
    private long bytesPerSecond;

    @Option(
            names = "--max-added-latency",
            paramLabel = "MS",
            defaultValue = "0",
            description = {
                "Add at most this many milliseconds to the 99th percentile of each guest's latency: the copy slows",
                "down and speeds up with what the guest feels (default: gentle beside a guest at work, no bound)."
            })
    private double maxAddedLatencyMillis;

    @Option(
            names = "--min-rate",
            paramLabel = "R",
            converter = Quantities.Rate.class,
            defaultValue = "0",
            description = "With --max-added-latency: copy this much per second and disk in any case (default: 8M).")
    private long floorBytesPerSecond;

    @Option(
            names = "--mirror",
            paramLabel = "HOW",
            description = {
                "sync: a write of the guest is done when both sides have it; trailing: when the source has it, and the",
                "target follows within bounds (default: trailing if the target takes longer than 5 ms to answer)."
            })
    private @Nullable String mirror;

    @Option(
            names = "--verify",
            negatable = true,
            defaultValue = "true",
            fallbackValue = "true",
            description = "Read and compare both sides before the switch (default); --no-verify goes without.")
    private boolean verify;

    @Option(names = "--keep-source", description = "Leave the old files where they are.")
    private boolean keepSource;

    @Option(
            names = "--grace",
            paramLabel = "TIME",
            converter = Quantities.Grace.class,
            defaultValue = "0",
            description = {
                "Keep the old side in step after the switch for so long (90s, 30m, 2h, 7d) or 'until-commit', so that",
                "'migration rollback ID' takes the guest back live with nothing lost; then the old files are deleted",
                "(default: they are deleted at once)."
            })
    private long graceMillis;

    @Option(
            names = "--with-snapshots",
            description = {
                "Move what the disks lie over too, in any format, each file once, and have them lie over it there (default:",
                "the disks are flattened). The old files are deleted when nobody lies over them any more. Internal snapshots of",
                "a qcow2 disk go along in its file, with the machine states in them, and share what they shared."
            })
    private boolean withSnapshots;

    @Option(
            names = "--drop-snapshots",
            description = {
                "Leave internal snapshots of the disks behind, to be deleted with the old file. Without this, --keep-source or",
                "--with-snapshots a disk that has some is not moved."
            })
    private boolean dropSnapshots;

    @Option(
            names = "--dry-run",
            description = {
                "Rehearse: try the target out, and say whether the move would go (exit status 0) or not (1), what",
                "would be copied, how, and how long that would take; leaves nothing behind."
            })
    private boolean dryRun;

    @Option(names = "--detach", description = "Start the move and return.")
    private boolean detach;

    @Option(names = "--json", description = "Ends with one JSON object; shows no progress.")
    private boolean json;

    MigrateCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        MigrateRequest request = request();
        try (DaemonClient client = daemon.client()) {
            if (dryRun) {
                RehearsalReport report = client.post("/v1/migrations/plan", request, RehearsalReport.class);
                return new RehearsalWords(screen, json).tell(report);
            }
            MigrationStatus status = client.post("/v1/migrations", request, MigrationStatus.class);
            if (detach) {
                if (json) {
                    screen.json(status);
                } else {
                    screen.print(status.id());
                }
                return Ferry.DONE;
            }
            return new Watch(screen, client, json).toTheEnd(status.id());
        }
    }

    private @Nullable DiskShape toldShape() throws ProblemException {
        Qcow2Shape said = shape.checked(format == null ? ImageFormat.QCOW2 : DiskMakingCommands.checkedFormat(format));
        if (withSnapshots && !said.usual()) {
            throw Problems.wrongUsage(
                    "disks that take along what they lie over keep their shape:"
                            + " --with-snapshots goes without --cluster-size, --extended-l2, --refcount-bits and --qcow2-version");
        }
        return shape.toTell();
    }

    private MigrateRequest request() throws ProblemException {
        if (Strategy.of(mode).isEmpty()) {
            throw Problems.wrongUsage(
                    "mode '" + mode + "' is not in this version of Ferry; use mirror, tracking or snapshot");
        }
        if (format != null) {
            format = DiskMakingCommands.checkedFormat(format).text();
        }
        if (provisioning != null) {
            provisioning = DiskMakingCommands.checkedProvisioning(provisioning);
        }
        List<String> names = new ArrayList<>();
        for (String disk : disks) {
            names.add(Names.checked("disk", disk));
        }
        return new MigrateRequest(
                names,
                Names.checked("datastore", target),
                mode,
                format,
                provisioning,
                toldShape(),
                bytesPerSecond,
                maxAddedLatencyMillis,
                floorBytesPerSecond,
                maxDowntimeMillis,
                mirror,
                verify,
                keepSource,
                graceMillis,
                withSnapshots,
                dropSnapshots,
                dryRun);
    }
}
