package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.Loop;
import org.jspecify.annotations.Nullable;

/** Records of regions in step that each break one promise, for the canary. */
public enum PlantedStepBug {
    NONE,
    /** A change goes out before its mark is durable. */
    MARK_NOT_AWAITED {
        @Override
        boolean admitsAll(boolean attached) {
            return true;
        }
    },
    /** A change goes out without its region being opened. */
    NOT_OPENED {
        @Override
        boolean opens() {
            return false;
        }
    },
    /** What the guest writes while there is no target is not marked. */
    NOT_MARKED_WITHOUT_TARGET {
        @Override
        boolean admitsAll(boolean attached) {
            return !attached;
        }
    },
    /** A region is closed although a change of it is in flight. */
    CLOSED_IN_FLIGHT {
        @Override
        boolean looksInFlight() {
            return false;
        }
    },
    /** A region counts as firm though the target was not flushed. */
    FIRM_WITHOUT_TARGET {
        @Override
        boolean flushesTarget() {
            return false;
        }
    },
    /** A region counts as firm though the source was not flushed. */
    FIRM_WITHOUT_SOURCE {
        @Override
        boolean flushesSource() {
            return false;
        }
    },
    /** What a target lost with a flush that failed still counts. */
    FAILED_FLUSH_FORGIVEN {
        @Override
        boolean forgets() {
            return false;
        }
    };

    boolean admitsAll(boolean attached) {
        return false;
    }

    boolean opens() {
        return true;
    }

    boolean looksInFlight() {
        return true;
    }

    boolean flushesTarget() {
        return true;
    }

    boolean flushesSource() {
        return true;
    }

    boolean forgets() {
        return true;
    }

    /** A record of a move that goes on. */
    public StepMap steps(Loop loop, StepStore store, StepSettings settings, long regions, long[] inStep, long[] firm) {
        return new StepMap(loop, store, settings, regions, inStep, firm) {
            private @Nullable Mirror owner;

            @Override
            void bind(Mirror mirror) {
                super.bind(mirror);
                owner = mirror;
            }

            @Override
            boolean admits(long from, long end) {
                Mirror mirror = owner;
                return admitsAll(mirror != null && mirror.attached()) || super.admits(from, end);
            }

            @Override
            void begin(long from, long end) {
                if (opens()) {
                    super.begin(from, end);
                }
            }

            @Override
            void touchInFlight(RegionMap map) {
                if (looksInFlight()) {
                    super.touchInFlight(map);
                }
            }

            @Override
            void forgetUnflushed() {
                if (forgets()) {
                    super.forgetUnflushed();
                }
            }
        };
    }

    /** A mirror with such a record. */
    public Mirror mirror(
            Loop loop,
            BlockDevice source,
            @Nullable BlockDevice target,
            MirrorSettings settings,
            MirrorListener listener,
            StepMap steps) {
        return new Mirror(loop, source, target, settings, listener, steps) {
            @Override
            void flushSides(Completion whenDurable) {
                if (flushesTarget() && flushesSource()) {
                    super.flushSides(whenDurable);
                } else if (flushesTarget()) {
                    target().flush(whenDurable);
                } else {
                    source().flush(whenDurable);
                }
            }
        };
    }
}
