package dev.ferry.migration;

import dev.ferry.migration.MigrationStatus.DiskStatus;
import dev.ferry.migration.MigrationStatus.Verification;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Makes what people see of a migration from its record and, while it runs, from how far it is. */
final class StatusView {
    private StatusView() {}

    /** One that is not at work. */
    static MigrationStatus of(MoveRecord record) {
        return of(record, record.disks(), record.state(), record.error(), 0, Live.NONE, null, 0, record.atMillis());
    }

    /**
     * What changes from moment to moment.
     *
     * @param bytesPerSecond speed of copying
     * @param etaSeconds when copying will be done; null where nobody knows
     * @param permilleMin progress that has been shown, below which it does not fall
     * @param verification how far the comparison is; null if none is under way
     * @param convergence whether the copy catches up with the guest, where that is a question
     * @param eta when it will be at its switch; null where nobody knows
     */
    record Live(
            long bytesPerSecond,
            @Nullable Long etaSeconds,
            int permilleMin,
            @Nullable Verification verification,
            @Nullable Convergence convergence,
            @Nullable EtaRange eta) {
        static final Live NONE = new Live(0, null, 0, null, null, null);

        Live with(@Nullable Verification other) {
            return new Live(bytesPerSecond, etaSeconds, permilleMin, other, convergence, eta);
        }
    }

    static MigrationStatus of(
            MoveRecord record,
            List<DiskRecord> records,
            MigrationState state,
            @Nullable String error,
            long rateBytesPerSecond,
            Live live,
            @Nullable WayBack wayBack,
            long baseBytes,
            long nowMillis) {
        List<DiskStatus> disks = new ArrayList<>();
        long done = BaseStatus.doneBytes(record, baseBytes);
        long total = BaseStatus.totalBytes(record);
        boolean verified = true;
        for (DiskRecord disk : records) {
            disks.add(of(disk, record.mover()));
            done += disk.outcome().doneBytes();
            total += disk.outcome().totalBytes();
            verified &= disk.outcome().verified();
        }
        boolean over = state.over();
        return new MigrationStatus(
                record.id(),
                state,
                record.phase(),
                percent(record, done, total, live.permilleMin()),
                done,
                total,
                live.bytesPerSecond(),
                live.etaSeconds(),
                live.verification(),
                live.convergence(),
                live.eta(),
                rateBytesPerSecond,
                record.targetDatastore(),
                record.how().strategy().text(),
                movers(record, records),
                verified && !disks.isEmpty(),
                record.keepSource(),
                error,
                record.resumed(),
                wayBack,
                Instant.ofEpochMilli(record.startedMillis()).toString(),
                over ? Instant.ofEpochMilli(record.atMillis()).toString() : null,
                Math.max(0, nowMillis - record.startedMillis()) / 1000.0,
                BaseStatus.of(record),
                SnapshotStatus.of(record),
                disks);
    }

    private static double percent(MoveRecord record, long done, long total, int permilleMin) {
        boolean copied = switch (record.phase()) {
            case PREPARE, CREATE -> false;
            case COPY, UNDO, END -> record.state() == MigrationState.DONE;
            case VERIFY, SWITCH, KEEP, ROLLBACK, COMMIT -> true;
        };
        if (copied) {
            return 100;
        }
        return Math.max(permilleMin / 10.0, percent(done, total));
    }

    /** In tenths, rounded down: 100 is shown when all is done. */
    static double percent(long done, long total) {
        return total == 0 ? 0 : Math.floor(1000.0 * Math.min(done, total) / total) / 10.0;
    }

    /** Each once. */
    static String movers(MoveRecord record, List<DiskRecord> disks) {
        return disks.stream()
                .map(disk -> moverOf(disk, record.mover()))
                .distinct()
                .collect(Collectors.joining(", "));
    }

    static String moverOf(DiskRecord disk, String usual) {
        String mover = disk.outcome().mover();
        return mover == null ? usual : mover;
    }

    private static DiskStatus of(DiskRecord disk, String usualMover) {
        DiskRecord.Outcome outcome = disk.outcome();
        DiskRecord.Former former = disk.former();
        return new DiskStatus(
                disk.name(),
                disk.sizeBytes(),
                outcome.doneBytes(),
                outcome.totalBytes(),
                outcome.bytesCopied(),
                outcome.bytesMirrored(),
                outcome.switchoverPauseMillis(),
                disk.authority() == Authority.TARGET,
                outcome.verified(),
                outcome.sourceDigest(),
                outcome.targetDigest(),
                moverOf(disk, usualMover),
                outcome.offloadRefusal(),
                disk.proof(),
                former == null ? null : former.rollbackPauseMillis(),
                disk.sourceDatastore(),
                disk.sourcePath(),
                disk.targetPath(),
                outcome.mirroring() == null ? null : outcome.mirroring().text(),
                outcome.targetLatencyMillis());
    }
}
