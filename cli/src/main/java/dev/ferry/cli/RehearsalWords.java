package dev.ferry.cli;

import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.migration.rehearsal.RehearsalReport.Disk;
import dev.ferry.migration.rehearsal.RehearsalReport.Finding;
import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import dev.ferry.migration.rehearsal.RehearsalReport.Room;
import dev.ferry.migration.rehearsal.Verdict;
import java.util.List;
import java.util.Locale;
import java.util.function.DoubleFunction;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** A rehearsal as people read it: the verdict first, then what would be done, what it would take, and what was tried. */
final class RehearsalWords {
    private static final String UNKNOWN = "unknown";
    private static final double FEW_SECONDS = 10;

    private final Screen screen;
    private final boolean json;

    RehearsalWords(Screen screen, boolean json) {
        this.screen = screen;
        this.json = json;
    }

    /** @return the exit status: 0 go, 1 no-go */
    int tell(RehearsalReport report) {
        if (json) {
            screen.json(report);
        } else {
            print(report);
        }
        if (report.go()) {
            return Ferry.DONE;
        }
        screen.error(
                "no-go: " + with(report, Verdict.NO).stream().map(Finding::text).collect(Collectors.joining("; ")));
        return Ferry.FAILED;
    }

    private static List<Finding> with(RehearsalReport report, Verdict verdict) {
        return report.findings().stream()
                .filter(finding -> finding.verdict() == verdict)
                .toList();
    }

    private void print(RehearsalReport report) {
        boolean doubtful = !with(report, Verdict.UNKNOWN).isEmpty();
        String go = doubtful ? "go, with what is unknown" : "go";
        screen.print(report.go() ? screen.green(go) : screen.red("no-go"));
        report.disks().forEach(disk -> print(disk, report.targetDatastore()));
        report.bases().forEach(base -> line("base", BaseWords.of(base)));
        line("room", room(report.room()));
        line("time", range(report.seconds(), RehearsalWords::seconds));
        line(
                "target",
                "writes " + range(report.bytesPerSecondWritten(), RehearsalWords::rate) + ", reads "
                        + range(report.bytesPerSecondRead(), RehearsalWords::rate));
        line(
                "",
                "a short write " + range(report.writeMillis(), Quantities::millis) + ", made durable "
                        + range(report.flushMillis(), Quantities::millis));
        for (Finding finding : report.findings()) {
            String mark = switch (finding.verdict()) {
                case OK -> "";
                case NOTE -> "but: ";
                case UNKNOWN -> "unknown: ";
                case NO -> screen.red("no: ");
            };
            line(finding.what(), mark + finding.text());
        }
    }

    private void print(Disk disk, String target) {
        screen.print("disk " + screen.bold(disk.name()) + " of " + Quantities.size(disk.sizeBytes()) + ": "
                + disk.sourceDatastore() + " to " + target + ", " + disk.format() + shape(disk.targetShape()) + ", "
                + disk.targetProvisioning().text() + ", " + disk.targetPath());
        line(
                "copy",
                bytes(disk.dataBytes()) + " of data, " + bytes(disk.holeBytes()) + " of holes; mover " + disk.mover()
                        + "; read at " + range(disk.bytesPerSecondRead(), RehearsalWords::rate));
        RehearsalReport.Snapshots snapshots = disk.snapshots();
        if (snapshots != null) {
            line("snapshots", BaseWords.of(snapshots));
        }
        Long writes = disk.guestBytesPerSecond();
        line(
                "guest",
                (writes == null ? "none" : "writes " + Quantities.rate(writes)) + "; a write takes "
                        + range(disk.addedMillis(), Quantities::millis) + " longer, one that meets the copy at most "
                        + (disk.longestWaitMillis() == null ? UNKNOWN : Quantities.millis(disk.longestWaitMillis())));
    }

    /** What qcow2 disks differ in; as QEMU makes them it is not worth a word. */
    private static String shape(@Nullable Qcow2Shape shape) {
        if (shape == null) {
            return "";
        }
        Qcow2Options made = shape.options();
        Qcow2Options usual = Qcow2Options.DEFAULT;
        StringBuilder words = new StringBuilder();
        if (made.version() != usual.version()) {
            words.append(" of version ").append(made.version());
        }
        if (made.clusterBits() != usual.clusterBits()) {
            words.append(" with clusters of ").append(Quantities.size(1L << made.clusterBits()));
        }
        if (made.extendedL2()) {
            words.append(" with extended L2 entries");
        }
        if (made.refcountOrder() != usual.refcountOrder()) {
            words.append(" with refcounts of ")
                    .append(1 << made.refcountOrder())
                    .append(" bits");
        }
        return words.toString();
    }

    private void line(String what, String text) {
        screen.print(String.format(Locale.ROOT, "  %-9s %s", what, text));
    }

    private static String bytes(@Nullable Long bytes) {
        return bytes == null ? UNKNOWN : Quantities.size(bytes);
    }

    private static String room(@Nullable Room room) {
        return room == null
                ? UNKNOWN
                : Quantities.size(room.neededBytes()) + " needed, " + Quantities.size(room.growthBytes())
                        + " more by what guests write; " + Quantities.size(room.freeBytes()) + " free, of which "
                        + Quantities.size(room.reserveBytes()) + " stay so";
    }

    private static String range(@Nullable Range range, DoubleFunction<String> words) {
        if (range == null) {
            return UNKNOWN;
        }
        String least = words.apply(range.least());
        String most = words.apply(range.most());
        return least.equals(most) ? least : least + " to " + most;
    }

    private static String rate(double bytesPerSecond) {
        return Quantities.rate((long) bytesPerSecond);
    }

    private static String seconds(double seconds) {
        return seconds < FEW_SECONDS
                ? String.format(Locale.ROOT, "%.1f s", seconds)
                : Quantities.time(Math.round(seconds));
    }
}
