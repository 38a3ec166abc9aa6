package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.filter.mirror.StepStore;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;

/**
 * A record of regions in memory that is as treacherous as a file. The fault model: what the live map is told is there
 * after the process has died, and not after a loss of power. What the firm map is told is nowhere until a sync; a sync that
 * a crash interrupts has written some words and not others; a sync may fail, and then the record is void.
 */
final class SimulatedStepStore {
    private static final long SYNC_NANOS = 3_000_000;

    private final SplittableRandom random;
    private long[] copied;
    private long[] open;
    private long[] firm;
    private Map<Integer, Long> syncing = Map.of();
    private boolean isVoid;
    int syncFailuresPerMillion;

    SimulatedStepStore(int words, SplittableRandom random) {
        this.random = random;
        copied = new long[words];
        open = new long[words];
        firm = new long[words];
    }

    /** The store as a process has it open. */
    StepStore open(SimulatedLife life) {
        return new Opened(life);
    }

    /** What a process that starts finds to be in step. */
    long[] inStep() {
        long[] words = new long[copied.length];
        for (int i = 0; i < words.length; i++) {
            words[i] = isVoid ? 0 : copied[i] & ~open[i];
        }
        return words;
    }

    boolean isVoid() {
        return isVoid;
    }

    long[] copied() {
        return copied.clone();
    }

    long[] firm() {
        long[] inStep = inStep();
        for (int i = 0; i < inStep.length; i++) {
            inStep[i] &= firm[i];
        }
        return inStep;
    }

    /** The process is gone, and the system is not: what was being written is written, or is not. */
    void processDied() {
        writeSome();
    }

    void powerLost() {
        writeSome();
        copied = firm.clone();
        open = new long[firm.length];
    }

    private void writeSome() {
        syncing.forEach((word, bits) -> {
            if (random.nextBoolean()) {
                firm[word] = bits;
            }
        });
        syncing = Map.of();
    }

    /** A move goes on: the map begins with what is in step. */
    void begin() {
        long[] inStep = inStep();
        firm = firm();
        copied = inStep;
        open = new long[firm.length];
        isVoid = false;
    }

    /** A record of two sides that are equal. */
    void begin(long[] inStep, long[] firmOfThem) {
        copied = inStep.clone();
        firm = firmOfThem.clone();
        open = new long[firm.length];
        syncing = Map.of();
        isVoid = false;
    }

    private final class Opened implements StepStore {
        private final SimulatedLife life;
        private final Map<Integer, Long> told = new TreeMap<>();

        Opened(SimulatedLife life) {
            this.life = life;
        }

        @Override
        public void copied(int word, long bits) {
            copied[word] = bits;
        }

        @Override
        public void open(int word, long bits) {
            open[word] = bits;
        }

        @Override
        public void firm(int word, long bits) {
            told.put(word, bits);
        }

        @Override
        public void sync(Completion durable) {
            syncing = new TreeMap<>(told);
            told.clear();
            boolean fails = random.nextInt(1_000_000) < syncFailuresPerMillion;
            Runnable end = () -> {
                if (fails) {
                    isVoid = true;
                    durable.complete(BlockError.of(ErrorKind.IO, "record", "sync", "the simulated store says so"));
                    return;
                }
                syncing.forEach((word, bits) -> firm[word] = bits);
                syncing = Map.of();
                durable.complete(null);
            };
            life.schedule(random.nextLong(SYNC_NANOS), end);
        }
    }
}
