package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.migration.Carrier.Passage;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.stack.OnLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * All disks of a move brought to rest at the same time, and let go on on their other sides by one decision, whichever way
 * they go. Whatever fails before the decision is durable, all go on where they were.
 *
 * <p>Thread: that of the move.
 */
final class JointPassage {
    private static final long SETTLED_NANOS = 4_000_000;
    private static final int SETTLE_ROUNDS_MAX = 12;

    private final Move move;
    private final MoveWork work;

    JointPassage(Move move, MoveWork work) {
        this.move = move;
        this.work = work;
    }

    /** What makes it a fact for all disks. */
    @FunctionalInterface
    interface Decision {
        /** Returns when it is durable. */
        void record() throws BlockException;
    }

    /**
     * Flushes both sides again and again until there is so little left that the flush of the passage will be quick. A flush
     * takes as long as it takes; the move can be called off meanwhile. Of a side that trails, each takes a round trip.
     */
    void settle(List<MovingDisk> disks) throws BlockException, CalledOff {
        long last = Long.MAX_VALUE;
        for (int round = 0; round < SETTLE_ROUNDS_MAX; round++) {
            long before = work.nanoTime();
            List<CompletableFuture<Boolean>> flushed = new ArrayList<>();
            for (MovingDisk disk : disks) {
                flushed.add(disk.carrier().flush().whenComplete((done, failure) -> move.post(() -> {})));
            }
            move.until(() -> flushed.stream().allMatch(CompletableFuture::isDone));
            for (CompletableFuture<Boolean> one : flushed) {
                OnLoop.join(one);
            }
            long took = work.nanoTime() - before;
            boolean noBetter = took >= last / 4 * 3;
            if (took < SETTLED_NANOS || (noBetter && trails(disks))) {
                return;
            }
            last = took;
        }
    }

    private static boolean trails(List<MovingDisk> disks) {
        return disks.stream().anyMatch(disk -> disk.figures.mirroring() == Mirroring.TRAILING);
    }

    /** The guests work on where they are: sides far away may trail again. */
    static void loosen(List<MovingDisk> disks) throws BlockException {
        for (MovingDisk disk : disks) {
            disk.carrier().loosen();
        }
    }

    /**
     * Takes all disks across.
     *
     * @return how long each guest waited, in milliseconds, to a hundredth
     * @throws BlockException if a disk did not come to rest, or the decision failed: all guests are where they were
     */
    List<Double> go(List<MovingDisk> disks, Decision decision) throws BlockException {
        List<Passage> passages = new ArrayList<>();
        try {
            for (MovingDisk disk : disks) {
                passages.add(disk.carrier().rest());
            }
            for (int i = 0; i < passages.size(); i++) {
                passages.get(i).await();
                Carrier.Verdict atRest = passages.get(i).verdict();
                if (atRest != null) {
                    disks.get(i).verdict = atRest;
                }
            }
            decision.record();
        } catch (BlockException e) {
            for (Passage passage : passages) {
                passage.giveUp();
            }
            throw e;
        }
        List<CompletableFuture<Long>> passed = new ArrayList<>();
        passages.forEach(passage -> passed.add(passage.pass()));
        List<Double> pausesMillis = new ArrayList<>();
        for (CompletableFuture<Long> one : passed) {
            pausesMillis.add(Math.round(OnLoop.join(one) / 1e4) / 1e2);
        }
        return pausesMillis;
    }
}
