package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Stacks;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What a move may do to a disk that has internal snapshots: take them along, or leave them behind where somebody has said so, since
 * they go with the old file. Changes nothing. Thread: any; calls block.
 */
final class SnapshotRules {
    private static final int NAMED_MAX = 5;

    private SnapshotRules() {}

    /**
     * The snapshots of a disk that go with it.
     *
     * @return their names; empty: there are none, or they stay behind
     * @throws BlockException if they can neither be taken along nor be left behind
     */
    static List<String> check(Stacks stacks, DiskSpec disk, MigrationRequest request) throws BlockException {
        if (disk.format() != ImageFormat.QCOW2) {
            return List.of();
        }
        Qcow2Description told = stacks.describe(disk);
        List<String> names = told.snapshots().stream()
                .map(Qcow2Description.SnapshotDescription::name)
                .toList();
        if (names.isEmpty()) {
            return names;
        }
        if (!request.withSnapshots()) {
            if (!request.dropSnapshots() && !request.keepSource()) {
                throw refusal(
                        ErrorKind.INVALID,
                        disk,
                        "it has " + named(names) + ", which would be gone with the old file; take them along with"
                                + " --with-snapshots, keep the old file with --keep-source, or give them up with"
                                + " --drop-snapshots");
            }
            return List.of();
        }
        refuseWhatCannotHoldThem(disk, told, named(names), request);
        return names;
    }

    /** Such as {@code 2 internal snapshots (monday, tuesday)}. */
    static String named(List<String> names) {
        String some = names.stream().limit(NAMED_MAX).collect(Collectors.joining(", "));
        return names.size() + (names.size() == 1 ? " internal snapshot (" : " internal snapshots (") + some
                + (names.size() > NAMED_MAX ? ", ..." : "") + ")";
    }

    private static void refuseWhatCannotHoldThem(
            DiskSpec disk, Qcow2Description told, String named, MigrationRequest request) throws BlockException {
        ImageFormat format = request.format() == null ? disk.format() : request.format();
        if (format != ImageFormat.QCOW2) {
            throw refusal(
                    ErrorKind.UNSUPPORTED,
                    disk,
                    "it has " + named + ", and a disk in format " + format.text() + " holds none; leave out --format,"
                            + " or give them up with --drop-snapshots in place of --with-snapshots");
        }
        Provisioning provisioning = request.provisioning() == null ? disk.provisioning() : request.provisioning();
        if (provisioning != Provisioning.THIN) {
            throw refusal(
                    ErrorKind.UNSUPPORTED,
                    disk,
                    "it has " + named + ", with which it shares its room; one that is " + provisioning.text()
                            + " has room of its own everywhere; make it thin (--provisioning thin), or give them up"
                            + " with --drop-snapshots in place of --with-snapshots");
        }
        if (request.strategy().strategy() == Strategy.SNAPSHOT) {
            throw refusal(
                    ErrorKind.UNSUPPORTED,
                    disk,
                    "it has " + named + ", and --mode snapshot does not take them along; use mirror or tracking");
        }
        if (told.dataFileName() != null) {
            throw refusal(
                    ErrorKind.INVALID, disk, "it has " + named + " and a data file, and such snapshots are not read");
        }
    }

    private static BlockException refusal(ErrorKind kind, DiskSpec disk, String why) {
        return Planner.refusal(kind, "disk " + disk.name(), why);
    }
}
