package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.migration.Carrier.Verdict;
import dev.ferry.migration.copy.Verifier;
import dev.ferry.migration.copy.VerifyListener;
import dev.ferry.migration.copy.VerifyResult;
import org.jspecify.annotations.Nullable;

/**
 * The comparison of both sides of a disk, one at a time: the one that comes before the switch, or one that somebody asked for;
 * and what the last one found. Thread: the loop's.
 */
final class Comparison {
    /** Whose comparison it is. */
    interface Owner {
        /**
         * Makes what reads both sides, turned to what the guest may be made to feel.
         *
         * @param asked somebody asked for it; else it comes before the switch
         */
        Verifier verifier(boolean asked);

        /** Nothing is being compared any more; what it came to is told next. */
        void stopped();

        void compared(Verdict verdict);

        /** The comparison before the switch has come to nothing. */
        void failed(BlockError why);

        /** What somebody asked for has been compared. */
        void proved(Verdict verdict, long bytes);

        void notProved(BlockError why);
    }

    private final Owner owner;
    private @Nullable Verifier running;
    private @Nullable Completion whenEnded;
    /** Wanted again while an earlier one that was stopped comes to its end. */
    private boolean again;

    private Differences differences = Differences.NONE;

    Comparison(Owner owner) {
        this.owner = owner;
    }

    boolean underWay() {
        return running != null;
    }

    /** Begins the one before the switch, as soon as nothing else is being compared. */
    void begin() {
        if (running == null) {
            start(false);
        } else {
            again = true;
        }
    }

    /**
     * Begins one that somebody asked for: what is copied by now is compared.
     *
     * @return false if one is under way
     */
    boolean prove() {
        if (running != null) {
            return false;
        }
        start(true);
        return true;
    }

    private void start(boolean asked) {
        Verifier made = owner.verifier(asked);
        running = made;
        if (asked) {
            made.onlyCopied();
        }
        made.start(new VerifyListener() {
            @Override
            public void verified(VerifyResult result) {
                differences = new Differences(result.differences());
                Verdict verdict =
                        new Verdict(result.equal(), result.sourceDigest(), result.targetDigest(), differences.words());
                ended();
                if (asked) {
                    owner.proved(verdict, result.bytes());
                } else {
                    owner.compared(verdict);
                }
            }

            @Override
            public void failed(BlockError why) {
                ended();
                if (asked) {
                    owner.notProved(why);
                } else {
                    owner.failed(why);
                }
            }
        });
    }

    private void ended() {
        owner.stopped();
        running = null;
        Completion waiting = whenEnded;
        whenEnded = null;
        if (waiting != null) {
            waiting.complete(null);
        } else if (again) {
            again = false;
            start(false);
        }
    }

    /** Ends what is under way early, and begins nothing else. */
    void stop() {
        again = false;
        stopRunning();
    }

    /** Ends what is under way early. */
    void stopRunning() {
        Verifier stopped = running;
        if (stopped != null) {
            stopped.stop();
        }
    }

    /** Ends what is under way early; completes when nothing of it is in flight. */
    void end(Completion ended) {
        if (running == null) {
            ended.complete(null);
        } else {
            whenEnded = ended;
            stopRunning();
        }
    }

    /** Bounds the bytes that are read of each side in a second; 0: no bound. */
    void rate(long bytesPerSecond) {
        Verifier bounded = running;
        if (bounded != null) {
            bounded.rate(bytesPerSecond);
        }
    }

    /** Of what is under way. */
    long comparedBytes() {
        return running == null ? 0 : running.verifiedBytes();
    }

    /** What differed is not in step any more. */
    void spoil(Mirror mirror, long sizeBytes) {
        differences.spoil(mirror, sizeBytes);
    }
}
