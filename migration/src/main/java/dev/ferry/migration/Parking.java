package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.MovingDisk.Stage;
import java.util.concurrent.Executor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A move that waits: for a target that is lost, or for room at the target. It goes on when somebody resumes it, and by
 * itself when what it waits for has passed. The guests run on, on the sources.
 *
 * <p>Thread: that of the move.
 */
final class Parking {
    private static final Logger LOG = LoggerFactory.getLogger(Parking.class);

    private final Move move;
    private final MoveWork work;
    private final MovingDisks disks;
    private final Prober prober;
    private final SpaceGuard space;
    private boolean spaceLow;
    private boolean waitsForBase;

    Parking(Move move, MoveWork work, MovingDisks disks, Probing probing, SpaceGuard.Store store, Executor workers) {
        this.move = move;
        this.work = work;
        this.disks = disks;
        this.prober = new Prober(probing);
        this.space = new SpaceGuard(store, workers);
    }

    void park(String why) {
        move.parked(why);
        prober.parked(work.nanoTime());
        LOG.warn("migration {} is parked: {}", move.id(), why);
    }

    void targetLost(MovingDisk disk, BlockError why) {
        disk.stage = Stage.LOST;
        disk.verdict = null;
        String remedy = why.kind() == ErrorKind.NO_SPACE ? "make room there and resume" : "resume when it is back";
        park("the target is lost: " + why.message() + "; the guest runs on on the source; " + remedy);
    }

    /** The target does not take a file below the disks. */
    void waitForBase(BlockException why) {
        waitsForBase = true;
        String remedy = why.kind() == ErrorKind.NO_SPACE ? "make room there and resume" : "resume when it is well";
        park("the target fails: " + why.error().message() + "; the guest runs on on the source; " + remedy);
    }

    /** True until it is to be tried again. */
    boolean waitsForBase() {
        return waitsForBase;
    }

    /** Tries again what parked the move. */
    void unpark() throws BlockException {
        waitsForBase = false;
        if (spaceLow) {
            goOnWithRoom();
        }
        for (MovingDisk disk : disks.all()) {
            if (disk.stage == Stage.LOST) {
                if (disk.carrier().attached()) {
                    disk.carrier().copyAgain();
                } else {
                    disk.carrier().closeTarget();
                    work.attach(disk);
                }
                disk.stage = Stage.COPYING;
            }
        }
        move.parked(null);
    }

    /** Now and then, while the move is parked: tries whether what parked it has passed. */
    void probe() throws CalledOff {
        if (!prober.due(work.nanoTime()) || !(waitsForBase || disks.any(Stage.LOST)) || spaceLow) {
            return;
        }
        try {
            work.unpark();
            LOG.info("migration {} goes on by itself", move.id());
        } catch (BlockException e) {
            LOG.debug("migration {} stays parked", move.id(), e);
            prober.parked(work.nanoTime());
        }
    }

    // ---- room

    /** True if copying would fill the target. */
    boolean spaceLow() {
        return spaceLow;
    }

    /**
     * Now and then: stops the copying when the target is nearly full, and goes on when there is room. What has been copied
     * stays in step meanwhile.
     */
    void watchSpace() throws BlockException {
        if (!disks.any(Stage.COPYING) && !spaceLow) {
            return;
        }
        space.look(work.nanoTime());
        if (!spaceLow && space.low() && disks.any(Stage.COPYING) && !disks.any(Stage.LOST)) {
            spaceLow = true;
            disks.stopCopying();
            move.parked(space.words() + "; the guest runs on; it goes on by itself when there is twice as much");
            LOG.warn("migration {} is parked: {}", move.id(), space.words());
        } else if (spaceLow && space.enough()) {
            goOnWithRoom();
            LOG.info("migration {} goes on: there is room again", move.id());
        }
    }

    private void goOnWithRoom() throws BlockException {
        spaceLow = false;
        if (!move.paused()) {
            disks.goOnCopying();
        }
        if (!disks.any(Stage.LOST) && !waitsForBase) {
            move.parked(null);
        }
    }
}
