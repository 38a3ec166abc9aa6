package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Grace;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveSnapshots;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The old sides of disks whose guests have switched, each at the end of a mirror that runs the other way. One that errs or
 * stalls is let go, and taken up again when it is back; what the guest changed meanwhile is copied then.
 *
 * <p>Thread: that of the move, except what is marked.
 */
final class OldSides {
    private static final Logger LOG = LoggerFactory.getLogger(OldSides.class);

    private final Move move;
    private final MoveWork work;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final Revival revival;
    private final TargetMaker sides;
    private final Prober prober;
    private final Runnable whenLost;
    private List<MovingDisk> disks = List.of();
    private boolean released;
    private volatile @Nullable WayBack view;

    /**
     * @param prober says when to look whether one is back
     * @param whenLost run when one was let go
     */
    OldSides(Move move, MoveWork work, Ledger ledger, MoveWork.Surroundings around, Prober prober, Runnable whenLost) {
        this.move = move;
        this.work = work;
        this.ledger = ledger;
        this.around = around;
        this.revival = new Revival(move, ledger, around, true, this::eventsOf);
        this.sides = new TargetMaker(move, ledger, around, work.snapshots());
        this.prober = prober;
        this.whenLost = whenLost;
    }

    /** How a way back that was open comes back after a crash. Any thread. */
    Revival revival() {
        return revival;
    }

    List<MovingDisk> all() {
        return disks;
    }

    boolean anyLost() {
        return disks.stream().anyMatch(disk -> disk.stage == Stage.LOST);
    }

    /** How the way back is; null where there is none. Any thread. */
    @Nullable
    WayBack view() {
        return view;
    }

    void forgetView() {
        view = null;
    }

    // ---- put in, and taken up again

    /**
     * Makes ready, before each attempt to switch.
     *
     * @return false if the way back cannot be recorded
     */
    boolean prepare(List<MovingDisk> forward) {
        List<MovingDisk> made = new ArrayList<>();
        try {
            for (MovingDisk disk : forward) {
                MovingDisk back = new MovingDisk(disk.index, disk.disk);
                back.stage = Stage.COPIED;
                back.carrier = disk.carrier().turn(eventsOf(back), revival.stepsOf(disk.index));
                made.add(back);
            }
        } catch (BlockException e) {
            LOG.warn("migration {}: no way back can be made ready", move.id(), e);
            return false;
        }
        disks = List.copyOf(made);
        return true;
    }

    /** Goes on where an earlier process was; what was let go is not attached yet. */
    void takeUp() throws BlockException, CalledOff {
        disks = revival.disks();
        move.parked(null);
        for (MovingDisk disk : disks) {
            disk.stage = Stage.LOST;
            disk.carrier().pace(move.pace());
        }
    }

    /** Takes up what was let go, if it is back. */
    void reattach() {
        for (MovingDisk disk : disks) {
            if (disk.stage != Stage.LOST) {
                continue;
            }
            try {
                if (disk.carrier().attached()) {
                    disk.carrier().copyAgain();
                } else {
                    disk.carrier().closeTarget();
                    attach(disk);
                }
                disk.stage = Stage.COPYING;
                disk.trouble = null;
            } catch (BlockException e) {
                disk.trouble = e.getMessage();
                LOG.debug("migration {}: the old side stays away", move.id(), e);
                prober.parked(work.nanoTime());
            }
        }
    }

    private void attach(MovingDisk disk) throws BlockException {
        DiskSide source = sides.reopenSource(disk);
        try {
            disk.carrier().attach(source);
        } catch (BlockException | RuntimeException e) {
            source.close();
            throw e;
        }
    }

    // ---- what is said of them

    /** A source that is to stay and is behind is of no use, which is said. */
    @Nullable
    String staleSources() throws BlockException {
        List<String> stale = new ArrayList<>();
        for (MovingDisk disk : disks) {
            long behind = disk.carrier().behindBytes();
            if (ledger.record().keepSource() && (behind > 0 || disk.stage == Stage.LOST)) {
                DiskRecord record = ledger.record().disks().get(disk.index);
                stale.add(record.sourceFile() + " was behind by " + behind
                        + " bytes when the way back was closed, and is not the disk");
            }
        }
        return stale.isEmpty() ? null : String.join("; ", stale);
    }

    /** @throws BlockException if guests cannot go back to one of them now */
    void refuseUnlessInStep() throws BlockException {
        for (MovingDisk disk : disks) {
            String name = ledger.record().disks().get(disk.index).name();
            long behind = disk.carrier().behindBytes();
            if (disk.stage == Stage.LOST) {
                throw refusal("the old side of disk " + name + " is away (" + disk.trouble + ") and behind by " + behind
                        + " bytes; bring it back, and it is caught up by itself");
            }
            if (disk.stage == Stage.COPYING || behind > 0) {
                throw refusal("the old side of disk " + name + " is behind by " + behind
                        + " bytes and is being caught up; try again when 'ferry migration show " + move.id()
                        + "' says that it is in step");
            }
        }
    }

    private BlockException refusal(String why) {
        return Planner.refusal(ErrorKind.BUSY, "migration " + move.id(), why + "; the guest stays where it is");
    }

    /** Looks how the way back is. */
    void sample() throws BlockException {
        Grace grace = ledger.record().grace();
        if (grace == null || disks.isEmpty() || !ledger.record().kept()) {
            return;
        }
        long behindBytes = 0;
        boolean inStep = true;
        List<String> troubles = new ArrayList<>();
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.SWITCHED) {
                return;
            }
            behindBytes += disk.carrier().behindBytes();
            inStep &= disk.stage != Stage.LOST && disk.stage != Stage.COPYING;
            String trouble = disk.trouble;
            if (disk.stage == Stage.LOST && trouble != null) {
                troubles.add("disk " + disk.disk.name() + ": " + trouble);
            }
        }
        Long until = grace.untilMillis();
        view = new WayBack(
                until == null ? null : Instant.ofEpochMilli(until).toString(),
                until == null ? null : Long.valueOf(Math.max(0, until - ledger.nowMillis()) / 1000),
                inStep && behindBytes == 0,
                behindBytes,
                troubles.isEmpty() ? null : String.join("; ", troubles));
    }

    // ---- the end of the process

    void suspend() {
        for (MovingDisk disk : ledger.record().kept() ? open() : List.<MovingDisk>of()) {
            disk.carrier().suspend();
        }
    }

    private List<MovingDisk> open() {
        return disks.isEmpty() ? revival.guarded() : disks;
    }

    /** Takes away the use of disks that is its own: that of a move that has come back after a crash. */
    void release() {
        if (released) {
            return;
        }
        released = true;
        for (MovingDisk disk : revival.guarded()) {
            try {
                try {
                    LiveSnapshots.part(disk.disk.side());
                } finally {
                    around.stacks().release(disk.disk);
                }
            } catch (BlockException e) {
                LOG.warn("disk {} did not close well", disk.disk.name(), e);
            }
        }
    }

    // ---- what happened, out of the mailbox

    private Carrier.Events eventsOf(MovingDisk disk) {
        return new Carrier.Events() {
            @Override
            public void copied() {
                move.post(() -> {
                    if (disk.stage == Stage.COPYING) {
                        disk.stage = Stage.COPIED;
                    }
                });
            }

            @Override
            public void behind() {
                move.post(() -> {
                    if (disk.stage != Stage.LOST && disk.stage != Stage.SWITCHED) {
                        disk.stage = Stage.COPYING;
                    }
                });
            }

            @Override
            public void targetLost(BlockError why) {
                move.post(() -> lost(disk, why));
            }

            @Override
            public void sourceFailed(BlockError why) {
                move.post(() -> lost(disk, why));
            }

            @Override
            public void verified(Verdict verdict) {}

            @Override
            public void proved(Verdict verdict, long comparedBytes) {
                move.post(() -> work.proving().proved(disk, verdict, comparedBytes));
            }

            @Override
            public void notProved(BlockError why) {
                move.post(() -> work.proving().failed(disk, why));
            }

            @Override
            public void recordLost(BlockError why) {
                LOG.error("migration {}: a crash would leave all of the way back to be copied: {}", move.id(), why);
            }
        };
    }

    /** The guest runs on, on the target. */
    private void lost(MovingDisk disk, BlockError why) {
        if (disk.stage == Stage.SWITCHED) {
            return;
        }
        disk.stage = Stage.LOST;
        disk.trouble = why.message();
        prober.parked(work.nanoTime());
        LOG.warn("migration {}: the way back is behind: {}", move.id(), why.message());
        whenLost.run();
    }
}
