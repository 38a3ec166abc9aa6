package dev.ferry.migration.copy;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.RegionHold;
import org.jspecify.annotations.Nullable;

/**
 * Looks at one region at a time: locks it, reads both sides, unlocks it, and has the bytes compared and digested on
 * another thread. Belongs to a verifier, which uses it again once the digests have been folded in.
 */
final class VerifySlot extends RegionHold implements Completion {
    private enum Step {
        SOURCE_MAP,
        TARGET_MAP,
        READ_SOURCE,
        READ_TARGET,
        COMPARE
    }

    private final Verifier verifier;
    private final Mirror mirror;
    private final IoBuffer sourceBytes;
    private final IoBuffer targetBytes;
    private final RegionDigest digest;
    private final ExtentSink sink = this::extent;
    private final Runnable compare = this::compare;
    private final Runnable compared = this::compared;

    private Step step = Step.SOURCE_MAP;
    private long index = -1;
    private long ticket;
    private boolean passedOver;
    private long offset;
    private int length;
    private long mapped;
    private boolean zero;
    private @Nullable BlockError error;
    private boolean advancing;
    private boolean again;
    private boolean computing;
    private boolean done;

    VerifySlot(Verifier verifier, Mirror mirror, IoBuffer sourceBytes, IoBuffer targetBytes) {
        this.verifier = verifier;
        this.mirror = mirror;
        this.sourceBytes = sourceBytes;
        this.targetBytes = targetBytes;
        this.digest = new RegionDigest();
    }

    void releaseBuffers() {
        sourceBytes.release();
        targetBytes.release();
    }

    RegionDigest digest() {
        return digest;
    }

    int length() {
        return length;
    }

    /** True if what was found waits to be folded in, and its turn has come. */
    boolean holdsResult(long turn) {
        return done && ticket == turn;
    }

    /** True if there is nothing to fold in: the region was pending. */
    boolean passedOver() {
        return passedOver;
    }

    boolean hasResult() {
        return done;
    }

    /** Holds a region, or will: what a guest may feel. Comparing what has been read is not that. */
    boolean atItsDisks() {
        return !isFree() && !computing && !done;
    }

    boolean isFree() {
        return index < 0;
    }

    void free() {
        index = -1;
        done = false;
    }

    void verify(long region, long turn) {
        index = region;
        ticket = turn;
        passedOver = false;
        offset = mirror.regionOffset(region);
        length = mirror.regionLength(region);
        lock();
    }

    private void lock() {
        step = Step.SOURCE_MAP;
        error = null;
        mapped = offset;
        mirror.lock(index, this);
    }

    @Override
    protected void held(@Nullable BlockError why) {
        advance();
    }

    @Override
    public void complete(@Nullable BlockError requestError) {
        error = requestError;
        advance();
    }

    private void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        while (again) {
            again = false;
            step();
        }
        advancing = false;
    }

    private void step() {
        BlockError why = error;
        if (why == null && broken() == null && !mirror.copied(index) && verifier.passesOver()) {
            mirror.end(this, false);
            passOver();
            return;
        }
        if (why == null && broken() == null && !mirror.copied(index)) {
            why = BlockError.of(ErrorKind.BUSY, "verifier", "verify", offset, length, "the range is pending again");
        }
        if (why != null || broken() != null) {
            BlockError reason = broken();
            mirror.end(this, false);
            giveUp(why, reason);
            return;
        }
        switch (step) {
            case SOURCE_MAP -> map(Step.SOURCE_MAP, Step.TARGET_MAP);
            case TARGET_MAP -> map(Step.TARGET_MAP, Step.COMPARE);
            case READ_SOURCE -> {
                step = Step.READ_TARGET;
                verifier.reads(length);
                mirror.source().read(offset, sourceBytes, 0, length, this);
            }
            case READ_TARGET -> {
                zero = false;
                step = Step.COMPARE;
                mirror.readTarget(offset, targetBytes, 0, length, this);
            }
            case COMPARE -> unlock();
        }
    }

    /** Asks, extent by extent, whether a side is zeroes throughout; the first data means that both are read. */
    private void map(Step here, Step next) {
        if (mapped > offset && !zero) {
            step = Step.READ_SOURCE;
            again = true;
        } else if (mapped == offset + length) {
            mapped = offset;
            step = next;
            again = true;
        } else {
            zero = true;
            long rest = offset + length - mapped;
            if (here == Step.SOURCE_MAP) {
                mirror.source().extents(mapped, rest, sink, this);
            } else {
                mirror.targetExtents(mapped, rest, sink, this);
            }
        }
    }

    private void extent(long from, long bytes, int state) {
        zero &= state != 0;
        mapped = from + bytes;
    }

    private void unlock() {
        verifier.wasRead(offset, length);
        if (!mirror.end(this, true)) {
            giveUp(null, null);
        } else if (zero) {
            digest.zero(length);
            compared();
        } else {
            computing = true;
            verifier.compute(compare);
            verifier.released();
        }
    }

    /** A hold that broke because a guest waited for too long is taken again, in its turn; all else ends the work. */
    private void giveUp(@Nullable BlockError why, @Nullable BlockError brokenBy) {
        if (why == null && mirror.attached()) {
            verifier.again(this);
        } else {
            BlockError unknown = BlockError.of(ErrorKind.CANCELLED, "verifier", "verify", "the target was let go");
            verifier.failed(this, brokenBy != null ? brokenBy : why != null ? why : unknown);
        }
    }

    /** Locks the same region once more. */
    void repeat() {
        if (verifier.passesOver() && !mirror.copied(index)) {
            passOver();
        } else {
            lock();
        }
    }

    private void passOver() {
        passedOver = true;
        compared();
    }

    /** On a worker's thread. The buffers and the digest are nobody else's until it is back on the loop. */
    private void compare() {
        digest.compute(sourceBytes, targetBytes, offset, length);
        verifier.onLoop(compared);
    }

    private void compared() {
        computing = false;
        done = true;
        verifier.compared();
    }
}
