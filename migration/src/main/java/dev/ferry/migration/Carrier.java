package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopyProgress;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.OpenDisk;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * How the bytes of one disk get to its target, and the guest after them: the strategy of a move. The mirror is one.
 *
 * <p>Thread: all methods are called by the thread of the move, one at a time, and may block for as long as the disk's loop
 * takes to answer, but not for as long as a copy takes; what takes longer is told to {@link Events}, from any thread.
 */
interface Carrier {
    /** Begins: from now on what the guest writes finds its way to the target. */
    void start(DiskSide target, DiskSteps steps) throws BlockException;

    /**
     * Begins again after a crash, without the target: from now on what the guest writes is recorded, until {@link #attach}.
     *
     * @return what had been kept
     */
    StepFiles.Found guard(DiskSteps steps) throws BlockException;

    /** Takes up a target after {@link #guard}, or the same one, opened anew, after {@link Events#targetLost}. */
    void attach(DiskSide target) throws BlockException;

    /**
     * Closes a target that was lost, so that it can be opened anew.
     *
     * @throws BlockException of kind UNAVAILABLE as long as it has not answered what it was asked
     */
    void closeTarget() throws BlockException;

    /** True while the target is kept up; false before {@link #attach} and after {@link Events#targetLost}. */
    boolean attached() throws BlockException;

    /** Begins to copy again what is not at the target, where the target was not lost. */
    void copyAgain() throws BlockException;

    void pause() throws BlockException;

    void resume() throws BlockException;

    /** Bounds the copying, and then the comparing, of this disk; 0: no bound. */
    void rate(long bytesPerSecond) throws BlockException;

    /** Says what the guest may be made to feel; before {@link #start}. */
    void pace(PaceSettings settings);

    /**
     * Says that the source is to be the whole disk when the guest has switched: it stays, or is the way back. Before {@link
     * #start} or {@link #attach}.
     */
    default void keepSource() {}

    /** Begins to read and compare both sides, after {@link Events#copied}. */
    void verify() throws BlockException;

    /**
     * Begins to read and compare what is at the target by now, beside all else; {@link Events#proved} comes.
     *
     * @throws BlockException of kind BUSY if a comparison is under way
     */
    void prove() throws BlockException;

    /** After {@link Events#verified} or {@link Events#proved} found differences: has what differs copied again; {@link Events#behind} comes first. */
    void mend() throws BlockException;

    /** What the record of what is in step counts in. */
    int regionBytes();

    /** How far it is. */
    Figures figures() throws BlockException;

    /** Whether the copy catches up with the guest, where that is a question; null where it is none. */
    default @Nullable Convergence convergence() throws BlockException {
        return null;
    }

    /**
     * Goes on by another strategy, at any time; what is not in step is copied, and {@link Events#copied} comes again.
     *
     * @throws BlockException if this one cannot become that one
     */
    default void mode(Strategy strategy) throws BlockException {
        throw Planner.refusal(ErrorKind.UNSUPPORTED, "the move", "it cannot become one by " + strategy.text());
    }

    /**
     * Begins to bring the target into step and both sides to be durable while the guest works, so that the switch has little
     * left to do. Until {@link #loosen} a target does not trail any more.
     */
    CompletableFuture<Boolean> flush();

    /** The switch that {@link #flush} prepared for is not to be yet. */
    default void loosen() throws BlockException {}

    /** Bytes that differ, or may: what the target is behind by. */
    long behindBytes() throws BlockException;

    /** Stops copying and comparing, and waits until nothing of it is in flight, though not for ever. */
    void halt() throws BlockException;

    /**
     * Makes ready for the way back, while all is in step and before {@link #rest}: when the guest passes, what it changes on
     * the target from then on goes to the source too. May be done again, if the guest has not passed; the earlier one is void.
     *
     * @param events what the way back tells
     * @param steps where it is recorded what is in step there
     * @return what carries the other way, in step, from {@link Passage#pass} on; it does nothing before that
     */
    Carrier turn(Events events, DiskSteps steps) throws BlockException;

    /**
     * Begins to bring the disk to rest: nothing in flight, both sides durable and equal. Until {@link Passage#pass} or
     * {@link Passage#giveUp}, the guest's requests are held back.
     */
    Passage rest() throws BlockException;

    /** A disk at rest, or on the way there. */
    interface Passage {
        /** @throws BlockException if it does not come to rest in time, or the target is not in step */
        void await() throws BlockException;

        /** What the comparison has come to, if some of it was made at rest. */
        default @Nullable Verdict verdict() {
            return null;
        }

        /** The guest goes on on the source as if nothing had been. */
        void giveUp() throws BlockException;

        /**
         * After the decision: the guest goes on on the target.
         *
         * @return how long no request of the guest went through, in nanoseconds; not waited for
         */
        CompletableFuture<Long> pass();
    }

    /** Cleans up after the switch: the source is closed when this returns, unless it was turned. */
    void finish();

    /** Leaves the guest on the source alone, for good, and the target as it is by then, durable where that is possible. */
    void part();

    /** The process is about to end, and its guests are gone: stops, so that the next one finds all in step that is. */
    void suspend();

    /** Undoes all: when this returns the guest is on the source alone, and the target has been left alone. */
    void abandon();

    /** What a carrier tells, from any thread. */
    interface Events {
        /** Every byte is at the target, and stays in step. */
        void copied();

        /** Some of the target is behind after all, and is being copied; {@link #copied} comes again. */
        void behind();

        /** The target is not kept up any more; the guest goes on on the source. */
        void targetLost(BlockError why);

        /** The source cannot be read; there is nothing to be moved. */
        void sourceFailed(BlockError why);

        void verified(Verdict verdict);

        /**
         * What {@link #prove} found.
         *
         * @param comparedBytes of the disk; the rest was not at the target then
         */
        void proved(Verdict verdict, long comparedBytes);

        /** What {@link #prove} began has come to nothing. */
        void notProved(BlockError why);

        /** After a crash all would have to be copied again, since what is copied cannot be recorded any more. */
        void recordLost(BlockError why);
    }

    /**
     * What the comparison of both sides found.
     *
     * @param equal no byte differs
     * @param sourceDigest of all bytes of the source, hexadecimal
     * @param targetDigest of all bytes of the target
     * @param differences the first ranges that differ, in words, such as {@code 4096 bytes at 65536}
     */
    record Verdict(boolean equal, String sourceDigest, String targetDigest, List<String> differences) {
        public Verdict {
            differences = List.copyOf(differences);
        }
    }

    /**
     * How far a carrier is.
     *
     * @param doneBytes of the bytes to copy, done
     * @param totalBytes bytes to copy, as far as is known
     * @param bytesCopied written to the target by the copier
     * @param bytesMirrored of the guest's writes, sent to the target too
     * @param verifiedBytes compared by the verification that is under way
     * @param mirroring when a guest is told that a write is done; null where that is not decided yet
     * @param targetLatencyMillis how long the target took to answer before the copying; null if not measured
     * @param offload how the stores copy among themselves
     */
    record Figures(
            long doneBytes,
            long totalBytes,
            long bytesCopied,
            long bytesMirrored,
            long verifiedBytes,
            @Nullable Mirroring mirroring,
            @Nullable Double targetLatencyMillis,
            Offload offload) {
        static final Figures NONE = new Figures(0, 0, 0, 0, 0);

        /** Of a carrier that is no mirror, or not one yet. */
        Figures(long doneBytes, long totalBytes, long bytesCopied, long bytesMirrored, long verifiedBytes) {
            this(doneBytes, totalBytes, bytesCopied, bytesMirrored, verifiedBytes, null, null, Offload.NONE);
        }
    }

    /**
     * How the stores copy among themselves.
     *
     * @param on what is copied next is copied by them
     * @param bytes they have copied
     * @param refusal why they do not any more; null if they do, or never did
     */
    record Offload(boolean on, long bytes, @Nullable String refusal) {
        static final Offload NONE = new Offload(false, 0, null);

        /** On the loop. */
        static Offload of(Copier copier, CopyProgress progress) {
            BlockError why = copier.offloadRefusal();
            return new Offload(copier.offloads(), progress.offloadedBytes(), why == null ? null : why.message());
        }

        /**
         * What moves the bytes, in words.
         *
         * @param usual what does where the stores do not
         */
        String mover(String usual) {
            if (on) {
                return "offload";
            }
            return bytes > 0 ? "offload, then " + usual : usual;
        }
    }

    /** Makes a carrier for a disk. */
    @FunctionalInterface
    interface Factory {
        /** @param layered both sides lie over the same, and what shows through from there is left there */
        Carrier of(OpenDisk disk, Events events, StrategySettings strategy, boolean layered);
    }
}
