package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.migration.copy.PaceSettings;
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
    void start() throws BlockException;

    void pause() throws BlockException;

    void resume() throws BlockException;

    /** Bounds the copying, and then the comparing, of this disk; 0: no bound. */
    void rate(long bytesPerSecond) throws BlockException;

    /** Says what the guest may be made to feel; before {@link #start}. */
    void pace(PaceSettings settings);

    /** Begins to read and compare both sides, after {@link Events#copied}. */
    void verify() throws BlockException;

    /** Takes up again with the target after {@link Events#targetLost}. */
    void reconnect() throws BlockException;

    /** How far it is. */
    Figures figures() throws BlockException;

    /** Begins to make both sides durable while the guest works, so that the switch has little left to do. */
    CompletableFuture<Boolean> flush();

    /**
     * Puts the guest on the target: at a moment when nothing is in flight and both sides are durable and equal, {@code
     * decision} is asked, and if it returns, the target is the disk. Whatever fails before, the source is the disk as if
     * nothing had been.
     *
     * @return how long no request of the guest went through, in nanoseconds
     * @throws BlockException if the switch did not happen
     */
    long switchOver(Decision decision) throws BlockException;

    /** Cleans up after the switch: the source is closed when this returns. */
    void finish();

    /** Undoes all: when this returns the guest is on the source alone, and the target has been left alone. */
    void abandon();

    /** Makes the decision durable. */
    @FunctionalInterface
    interface Decision {
        void record() throws BlockException;
    }

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
    }

    /**
     * What the comparison of both sides found.
     *
     * @param equal no byte differs
     * @param sourceDigest of all bytes of the source, hexadecimal
     * @param targetDigest of all bytes of the target
     * @param difference the first that differs, in words; null if none
     */
    record Verdict(
            boolean equal,
            String sourceDigest,
            String targetDigest,
            @Nullable String difference) {}

    /**
     * How far a carrier is.
     *
     * @param doneBytes of the bytes to copy, done
     * @param totalBytes bytes to copy, as far as is known
     * @param bytesCopied written to the target by the copier
     * @param bytesMirrored of the guest's writes, sent to the target too
     * @param verifiedBytes compared by the verification that is under way
     */
    record Figures(long doneBytes, long totalBytes, long bytesCopied, long bytesMirrored, long verifiedBytes) {
        static final Figures NONE = new Figures(0, 0, 0, 0, 0);
    }

    /** Makes a carrier for a disk. */
    @FunctionalInterface
    interface Factory {
        Carrier of(dev.ferry.stack.OpenDisk disk, dev.ferry.stack.DiskSide target, Events events);
    }
}
