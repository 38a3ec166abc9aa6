package dev.ferry.cli;

import dev.ferry.migration.BaseStatus;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.SnapshotStatus;
import dev.ferry.migration.rehearsal.RehearsalReport;
import java.nio.file.Path;
import java.util.List;

/** The files below disks, and the internal snapshots, that go with them, as people read of them. */
final class BaseWords {
    private static final int NAMED_MAX = 5;

    private BaseWords() {}

    /** Such as {@code debian.raw (1.0 GiB, raw) copied to /srv/big/debian.raw, below vm1 vm2; the old file is deleted}. */
    static String of(BaseStatus base) {
        String target = base.targetPath();
        String what = switch (base.state()) {
            case "found" -> "was there already as " + target;
            case "copied" -> "copied to " + target;
            case "copying" -> "being copied to " + target;
            default -> base.state();
        };
        String source = switch (base.source()) {
            case "deleted" -> "; the old file is deleted";
            case "kept" -> "; the old file stays, others lie over it";
            default -> "";
        };
        return base.sourcePath() + " (" + Quantities.size(base.allocatedBytes()) + ", " + base.format() + ") " + what
                + ", below " + String.join(" ", base.disks())
                + (base.digest() == null ? "" : "; proven equal") + source;
    }

    static String of(RehearsalReport.Base base) {
        return base.sourcePath() + " below " + String.join(" ", base.disks()) + ": "
                + Quantities.size(base.allocatedBytes()) + " of " + Quantities.size(base.lengthBytes())
                + " to copy, as "
                + base.targetName()
                + (base.nameTaken()
                        ? "; there is a file of that name: used if it is the same, and left alone if not"
                        : "");
    }

    /** Such as {@code 3 of vm1 (1.0 GiB) copied; proven equal}. */
    static String of(SnapshotStatus snapshots) {
        String size = snapshots.bytes() == 0 ? "" : " (" + Quantities.size(snapshots.bytes()) + ")";
        String state = snapshots.state().equals("copying") ? "being copied" : snapshots.state();
        return snapshots.count() + " of " + snapshots.disk() + size + " " + state
                + (snapshots.digest() == null ? "" : "; proven equal");
    }

    static String of(RehearsalReport.Snapshots snapshots) {
        List<String> names = snapshots.names();
        String some = String.join(", ", names.subList(0, Math.min(NAMED_MAX, names.size())));
        return names.size() + " (" + some + (names.size() > NAMED_MAX ? ", ..." : "") + "): "
                + Quantities.size(snapshots.bytes()) + " to copy, shared as they are";
    }

    /** Of such files, and of snapshots, what was copied. */
    static long copiedBytes(MigrationStatus status) {
        long files = status.bases().stream()
                .filter(base -> base.state().equals("copied"))
                .mapToLong(BaseStatus::allocatedBytes)
                .sum();
        return files
                + status.internalSnapshots().stream()
                        .filter(one -> one.state().equals("copied"))
                        .mapToLong(SnapshotStatus::bytes)
                        .sum();
    }

    /** One line for the snapshots of a disk, when a move is done. */
    static String done(SnapshotStatus snapshots) {
        return "with    " + snapshots.count() + (snapshots.count() == 1 ? " internal snapshot" : " internal snapshots")
                + " of " + snapshots.disk() + (snapshots.digest() == null ? "" : "; proven equal");
    }

    /** One line for each file, when a move is done. */
    static String done(BaseStatus base) {
        Path name = Path.of(base.sourcePath()).getFileName();
        return "below   " + name + (base.state().equals("found") ? " was there already" : " went along")
                + (base.digest() == null ? "" : "; proven equal")
                + (base.source().equals("kept") ? "; the old file stays, others lie over it" : "");
    }
}
