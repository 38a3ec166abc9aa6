package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.migration.MigrationStatus.Verification;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.MoveRecord;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What is measured of a move while it is at work: how far, how fast, when it will be done.
 *
 * <p>Thread: that of the move for {@link #sample}; any for {@link #shown}.
 */
final class Gauges {
    private final List<MovingDisk> disks;
    private final MovingBases bases;
    private final SpeedMeter speed = new SpeedMeter();
    private final EtaEstimator eta = new EtaEstimator();
    private SpeedMeter verifySpeed = new SpeedMeter();
    private volatile StatusView.Live live = StatusView.Live.NONE;

    /** @param disks those that are at work; changed while this is in use, and safe for that */
    Gauges(List<MovingDisk> disks, MovingBases bases) {
        this.disks = disks;
        this.bases = bases;
    }

    /** @param stopped why nothing is meant to happen, such as {@code paused}; null if something is */
    void sample(MoveRecord record, @Nullable String stopped, long rateBytesPerSecond, long nanoTime)
            throws BlockException {
        long done = BaseStatus.doneBytes(record, bases.doneBytes());
        long total = BaseStatus.totalBytes(record);
        for (MovingDisk disk : disks) {
            if (disk.carrier != null && disk.stage != Stage.SWITCHED) {
                disk.figures = disk.carrier().figures();
                disk.convergence = disk.carrier().convergence();
            }
            done += disk.figures.doneBytes();
            total += disk.carrier == null ? disk.expectedBytes : disk.figures.totalBytes();
        }
        boolean working = stopped == null;
        if (working) {
            speed.sample(nanoTime, done);
        } else {
            speed.restart();
        }
        boolean copying = record.phase() == Phase.COPY || bases.atWork();
        boolean comparing = record.phase() == Phase.VERIFY;
        Convergence convergence = working ? convergence(record.id()) : null;
        Verification compared = verification(null);
        eta.add(new EtaEstimator.Sample(
                nanoTime,
                stopped != null || convergence == null || convergence.converges() ? stopped : "not converging",
                done,
                Math.max(0, total - done),
                convergence == null || convergence.iterations() < 2 ? 0 : convergence.dirtyBytesPerSecond(),
                compared.doneBytes(),
                record.verify() ? compared.totalBytes() - compared.doneBytes() : 0,
                comparing,
                rateBytesPerSecond));
        live = new StatusView.Live(
                working && copying ? speed.bytesPerSecond() : 0,
                working && copying ? speed.secondsFor(total - done) : null,
                Math.max(live.permilleMin(), total == 0 ? 0 : (int) (1000 * done / total)),
                comparing ? sampleVerification(compared, working, nanoTime) : null,
                convergence,
                copying || comparing ? eta.range() : null);
        if (!comparing) {
            verifySpeed = new SpeedMeter();
        }
    }

    /** Of the disk that is furthest from being in step. */
    private @Nullable Convergence convergence(String id) {
        Convergence worst = null;
        for (MovingDisk disk : disks) {
            Convergence one = disk.stage == Stage.SWITCHED ? null : disk.convergence;
            if (one != null && (worst == null || one.downtimeMillis() > worst.downtimeMillis())) {
                worst = one;
            }
        }
        return worst == null ? null : worst.of(id);
    }

    private Verification sampleVerification(Verification now, boolean working, long nanoTime) {
        if (working) {
            verifySpeed.sample(nanoTime, now.doneBytes());
        } else {
            verifySpeed.restart();
        }
        return verification(working ? verifySpeed : null);
    }

    private Verification verification(@Nullable SpeedMeter meter) {
        long done = 0;
        long total = 0;
        for (MovingDisk disk : disks) {
            done += disk.verifiedBytes();
            total += disk.disk.sizeBytes();
        }
        return new Verification(
                StatusView.percent(done, total),
                done,
                total,
                meter == null ? 0 : meter.bytesPerSecond(),
                meter == null ? null : meter.secondsFor(total - done));
    }

    /** What there is to show of a move that is in this phase now, which it may have entered since the last sample. */
    StatusView.Live shown(Phase phase) {
        StatusView.Live now = live;
        if (phase != Phase.VERIFY) {
            return now.with(null);
        }
        return now.verification() == null ? now.with(verification(null)) : now;
    }
}
