package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.Resumption;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.LiveSnapshots;
import dev.ferry.stack.OpenDisk;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How a move comes back that was interrupted: its disks are <em>guarded</em>, which is to say that what guests write to
 * them is recorded, before anybody can write; then it is said what had been kept. There is one for the way to the target,
 * and one for the way back, where the target is the disk and the source is what is kept in step.
 *
 * <p>Thread: any for {@link #guard} and {@link #guarded}; that of the move for the rest. Calls block.
 */
final class Revival {
    private static final Logger LOG = LoggerFactory.getLogger(Revival.class);

    private final Move move;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final boolean back;
    private final Function<MovingDisk, Carrier.Events> events;
    private final List<@Nullable MovingDisk> guarded = new ArrayList<>();
    private boolean awake;
    /** Only a move that was interrupted has disks to guard; one that is at work has its mirrors in place. */
    private volatile boolean interrupted;

    /**
     * @param back of the way back
     * @param events what is told to the move of each disk
     */
    Revival(
            Move move,
            Ledger ledger,
            MoveWork.Surroundings around,
            boolean back,
            Function<MovingDisk, Carrier.Events> events) {
        this.back = back;
        this.events = events;
        this.move = move;
        this.ledger = ledger;
        this.around = around;
        ledger.record().disks().forEach(disk -> guarded.add(null));
    }

    private boolean hasRecord(MoveRecord record) {
        return switch (record.phase()) {
            case COPY, VERIFY -> !back;
            case SWITCH, KEEP, ROLLBACK -> record.kept() == back;
            case PREPARE, CREATE, COMMIT, UNDO, END -> false;
        };
    }

    DiskSpec specOf(int index) throws BlockException {
        return around.catalog().disk(ledger.record().disks().get(index).name()).spec();
    }

    DiskSteps stepsOf(int index) {
        return new DiskSteps(
                around.steps(),
                around.workers(),
                ledger.record().id(),
                index,
                ledger.record().disks().get(index),
                back);
    }

    void forgetSteps() throws BlockException {
        for (int i = 0; i < guarded.size(); i++) {
            stepsOf(i).delete();
        }
    }

    /** Guards the disk of this name, if it is one of a move that was interrupted and that is not done yet. */
    void guard(String name) throws BlockException {
        if (!interrupted) {
            return;
        }
        List<DiskRecord> disks = ledger.record().disks();
        for (int i = 0; i < disks.size(); i++) {
            if (disks.get(i).name().equals(name) && hasRecord(ledger.record())) {
                MovingDisk disk = guard(i);
                LOG.debug("disk {} is guarded", disk.disk.name());
            }
        }
    }

    /** Guards what can be, at a start; what can't be says why when somebody wants it. */
    void guardAll() {
        interrupted = true;
        for (DiskRecord disk : ledger.record().disks()) {
            try {
                guard(disk.name());
            } catch (BlockException e) {
                LOG.error("migration {}: disk {}: {}", ledger.record().id(), disk.name(), e.getMessage());
            }
        }
    }

    private synchronized MovingDisk guard(int index) throws BlockException {
        MovingDisk already = guarded.get(index);
        if (already != null) {
            return already;
        }
        if (back) {
            follow(index);
        }
        Merging.settle(around.stacks(), specOf(index));
        OpenDisk open = around.stacks().acquire(specOf(index));
        try {
            MovingDisk disk = new MovingDisk(index, open);
            StrategySettings how = ledger.record().how();
            DiskRecord record = ledger.record().disks().get(index);
            if (record.snapshots() != null) {
                LiveSnapshots.expect(open.side());
            }
            Carrier carrier = around.carriers()
                    .of(open, events.apply(disk), back ? how.with(Strategy.MIRROR) : how, record.layered());
            disk.carrier = carrier;
            disk.found = carrier.guard(stepsOf(index));
            guarded.set(index, disk);
            return disk;
        } catch (BlockException | RuntimeException e) {
            around.stacks().release(open);
            throw e;
        }
    }

    /** What was decided comes true before the disk is opened: its file has its name, and the inventory says where it is. */
    private void follow(int index) throws BlockException {
        DiskRecord record = ledger.record().disks().get(index);
        if (!record.told()) {
            DiskFiles.publish(record.targetFile(), Objects.requireNonNull(record.targetIdentity()));
            around.catalog()
                    .moved(
                            record.name(),
                            ledger.record().targetDatastore(),
                            record.targetFile(),
                            record.targetProvisioning());
        }
    }

    /** Those that are guarded. */
    synchronized List<MovingDisk> guarded() {
        return guarded.stream()
                .filter(Objects::nonNull)
                .map(Objects::requireNonNull)
                .toList();
    }

    void wake() {
        awake = true;
    }

    /** Waits until all disks are guarded, and says what had been kept of them. */
    List<MovingDisk> disks() throws BlockException, CalledOff {
        List<MovingDisk> disks = new ArrayList<>();
        for (int i = 0; i < guarded.size(); ) {
            try {
                disks.add(guard(i));
                i++;
            } catch (BlockException e) {
                awake = false;
                move.parked((back ? "the disk is away: " : "the source is away: ") + e.getMessage()
                        + "; resume when it is back");
                move.until(() -> awake);
            }
        }
        Resumption found = say(disks);
        ledger.resumed(found);
        LOG.info("migration {} {}", ledger.record().id(), found.told());
        return disks;
    }

    private Resumption say(List<MovingDisk> disks) {
        long size = 0;
        long kept = 0;
        long again = 0;
        boolean sameBoot = true;
        List<String> troubles = new ArrayList<>();
        for (MovingDisk disk : disks) {
            StepFiles.Found found = Objects.requireNonNull(disk.found);
            long bytes = disk.disk.sizeBytes();
            long regionBytes = disk.carrier().regionBytes();
            size += bytes;
            kept += Math.min(bytes, found.keptRegions() * regionBytes);
            again = again < 0 || found.againRegions() < 0 ? -1 : again + found.againRegions() * regionBytes;
            sameBoot &= found.sameBoot();
            if (found.trouble() != null) {
                troubles.add(disk.disk.name() + ": " + found.trouble());
            }
        }
        String why =
                !sameBoot ? "a restart of the host" : again > 0 ? "a crash of the daemon" : "a restart of the daemon";
        Resumption before = ledger.record().resumed();
        int count = before == null ? 1 : before.count() + 1;
        return Resumption.of(count, ledger.nowMillis(), why, size, kept, again, String.join("; ", troubles));
    }
}
