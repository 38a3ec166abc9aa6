package dev.ferry.filter.mirror;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.Loop;

/** Mirrors that each break one rule, for the canary: a simulation that does not catch them is worth nothing. */
public enum PlantedBug {
    NONE(Mirror::new),
    /** Rule 3 broken: small writes of copied regions stay on the source. */
    SMALL_WRITES_NOT_MIRRORED(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                void submitToTarget(Change change) {
                    if (change.kind == Change.WRITE && change.length < 2000) {
                        change.targetEnd.complete(null);
                    } else {
                        super.submitToTarget(change);
                    }
                }
            }),
    /** Rule 4 broken: a write goes to the target before the copy of its region has been written there. */
    WRITE_BEFORE_COPY(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                void changeWhileCopying(Change change, RegionHold hold) {
                    changeBoth(change);
                }
            }),
    /** Rule 5 broken: the copy does not wait for writes that go to the source alone. */
    COPY_WITHOUT_WAITING(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                int changesBefore(RegionHold hold) {
                    return 0;
                }
            }),
    /** Rule 7 broken: discards stay on the source. */
    DISCARDS_NOT_MIRRORED(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                void submitToTarget(Change change) {
                    if (change.kind == Change.DISCARD) {
                        change.targetEnd.complete(null);
                    } else {
                        super.submitToTarget(change);
                    }
                }
            }),
    /** Rule 9 broken: what the source failed is still taken for copied. */
    SOURCE_ERROR_FORGOTTEN(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                void sourceFailed(Change change, BlockError error) {}
            }),
    /** The map of the source is trusted where the guest has written since. */
    STALE_MAP((loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
        @Override
        public boolean changedSinceWatch(long region) {
            return false;
        }
    }),
    /** Rule 9 broken: what was in flight to a target that is lost still counts as copied. */
    UNFINISHED_FORGOTTEN(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                void markUnfinished() {}
            }),
    /** Rule 6 broken: a target that trails gets changes of one block at the same time. */
    TRAIL_WITHOUT_ORDER((loop, source, target, settings, listener) ->
            new Mirror(loop, source, target, settings, listener) {
                @Override
                Trail makeTrail(TrailSettings trail) {
                    return new Trail(loop, this, shift, trail) {
                        @Override
                        void enter(Change change) {
                            super.enter(change);
                            change.place.blockers = 0;
                        }
                    };
                }
            }),
    /** The bytes for a target that trails are looked at when they are sent. */
    TRAIL_WITHOUT_CAPTURE((loop, source, target, settings, listener) ->
            new Mirror(loop, source, target, settings, listener) {
                @Override
                Trail makeTrail(TrailSettings trail) {
                    return new Trail(loop, this, shift, trail) {
                        @Override
                        void capture(Change change) {}
                    };
                }
            }),
    /** Memory of a trail is used again while the target may still read it. */
    TRAIL_FREED_TOO_SOON((loop, source, target, settings, listener) ->
            new Mirror(loop, source, target, settings, listener) {
                @Override
                Trail makeTrail(TrailSettings trail) {
                    return new Trail(loop, this, shift, trail) {
                        @Override
                        void enter(Change change) {
                            super.enter(change);
                            ring.freeUpTo(ring.mark());
                            ring.rewind();
                        }

                        @Override
                        void free(TrailPlace oldest) {}
                    };
                }
            }),
    /** What went to the source alone, since the target trailed too far behind, counts as copied. */
    TRAIL_OVERRUN_FORGOTTEN(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                void changeSource(Change change) {
                    if (attached() && trailing()) {
                        table.noteChange(change);
                        change.begin(false);
                    } else {
                        super.changeSource(change);
                    }
                }
            }),
    /** The switch does not wait for what a target that trails is owed. */
    TRAIL_NOT_AWAITED(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                public void settle(Completion completion) {
                    source().flush(completion);
                }

                @Override
                public void closeUp(Completion whenInStep) {
                    whenInStep.complete(null);
                }
            }),
    /** A change in a region that is being copied does not make the region pending again. */
    OVERTAKEN_COPY_COUNTS(
            (loop, source, target, settings, listener) ->
                    new TrackedMirror(loop, source, target, settings, listener, null) {
                        @Override
                        void changeWhileCopying(Change change, RegionHold hold) {
                            if (follows()) {
                                super.changeWhileCopying(change, hold);
                            } else {
                                changeSource(change);
                            }
                        }
                    },
            true),
    /** A small write of a copied region does not make it pending again. */
    SMALL_WRITES_NOT_TRACKED(
            (loop, source, target, settings, listener) ->
                    new TrackedMirror(loop, source, target, settings, listener, null) {
                        @Override
                        void changeBoth(Change change) {
                            if (!follows() && change.kind == Change.WRITE && change.length < 2000) {
                                change.begin(false);
                            } else {
                                super.changeBoth(change);
                            }
                        }
                    },
            true),
    /** A flush goes to the source alone. */
    FLUSH_OF_SOURCE_ONLY(
            (loop, source, target, settings, listener) -> new Mirror(loop, source, target, settings, listener) {
                @Override
                public void flush(Completion completion) {
                    source().flush(completion);
                }
            });

    /** As the constructor of a mirror. */
    private interface Maker {
        Mirror mirror(
                Loop loop, BlockDevice source, BlockDevice target, MirrorSettings settings, MirrorListener listener);
    }

    @SuppressWarnings("ImmutableEnumChecker") // makers hold nothing
    private final Maker maker;

    private final boolean tracked;

    PlantedBug(Maker maker) {
        this(maker, false);
    }

    PlantedBug(Maker maker, boolean tracked) {
        this.maker = maker;
        this.tracked = tracked;
    }

    /** A bug of mirrors that leave their target behind. */
    public boolean ofTracked() {
        return tracked;
    }

    /** A mirror that leaves its target behind. */
    public TrackedMirror tracked(
            Loop loop, BlockDevice source, BlockDevice target, MirrorSettings settings, MirrorListener listener) {
        return tracked
                ? (TrackedMirror) maker.mirror(loop, source, target, settings, listener)
                : new TrackedMirror(loop, source, target, settings, listener, null);
    }

    public Mirror mirror(
            Loop loop, BlockDevice source, BlockDevice target, MirrorSettings settings, MirrorListener listener) {
        return maker.mirror(loop, source, target, settings, listener);
    }
}
