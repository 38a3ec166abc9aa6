package dev.ferry.cli;

import dev.ferry.migration.BaseStatus;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.rehearsal.RehearsalReport;
import java.nio.file.Path;

/** The files below disks that go with them, as people read of them. */
final class BaseWords {
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

    /** Of such files, what was copied. */
    static long copiedBytes(MigrationStatus status) {
        return status.bases().stream()
                .filter(base -> base.state().equals("copied"))
                .mapToLong(BaseStatus::allocatedBytes)
                .sum();
    }

    /** One line for each file, when a move is done. */
    static String done(BaseStatus base) {
        Path name = Path.of(base.sourcePath()).getFileName();
        return "below   " + name + (base.state().equals("found") ? " was there already" : " went along")
                + (base.digest() == null ? "" : "; proven equal")
                + (base.source().equals("kept") ? "; the old file stays, others lie over it" : "");
    }
}
