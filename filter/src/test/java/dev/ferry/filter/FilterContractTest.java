package dev.ferry.filter;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Geometry;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.RegionHold;
import dev.ferry.filter.mirror.TrackedMirror;
import dev.ferry.filter.mirror.TrailSettings;
import dev.ferry.filter.snapshot.CopyOnWrite;
import dev.ferry.filter.snapshot.Layers;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import dev.ferry.testkit.BlockDeviceContract;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Nested;

/** Every filter is a device like any other. */
class FilterContractTest {
    abstract static class InSimulation extends BlockDeviceContract {
        final SimLoop loop = new SimLoop(1);
        final SplittableRandom random = new SplittableRandom(3);

        @Override
        protected Loop loop() {
            return loop;
        }

        SimDisk disk(long sizeBytes) {
            return new SimDisk("simulated", loop, random.nextLong(), Geometry.ofBytes(sizeBytes), 50_000);
        }
    }

    @Nested
    class OfGate extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            return new Gate(loop, disk(sizeBytes));
        }
    }

    @Nested
    class OfStats extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            return new Stats(loop, disk(sizeBytes));
        }
    }

    @Nested
    class OfFault extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            return new Fault(disk(sizeBytes), "disk", random);
        }
    }

    @Nested
    class OfDelay extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            Delay delay = new Delay(loop, disk(sizeBytes), random);
            delay.delay(10_000, 90_000);
            return delay;
        }
    }

    @Nested
    class OfRateLimit extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            RateLimit limit = new RateLimit(loop, disk(sizeBytes));
            limit.rate(100 << 20);
            return limit;
        }
    }

    /** Whatever is written lies on one device, and all the rest on the other. */
    @Nested
    class OfCopyOnWrite extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            BlockDevice copy = new CopyOnWrite(disk(sizeBytes), disk(sizeBytes));
            return new Gate(loop, new Aligner(copy, BufferPool.ofBytes(8 << 20)));
        }
    }

    /** The disk is larger than its slice on both sides, and must not be touched there. */
    @Nested
    class OfSlice extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            return new Slice(disk(sizeBytes + 12_288), 4096, sizeBytes);
        }
    }

    @Nested
    class OfAligner extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            Geometry blocks = new Geometry(sizeBytes, 4096, 4096, 32 << 20);
            BlockDevice disk = new MemoryDisk(blocks, Capabilities.ALL);
            return new Gate(loop, new Aligner(disk, BufferPool.ofBytes(8 << 20)));
        }
    }

    @Nested
    class OfAlignerOnADiskThatReorders extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            Geometry blocks = new Geometry(sizeBytes, 512, 4096, 32 << 20);
            BlockDevice disk = new SimDisk("simulated", loop, 9, blocks, 50_000);
            return new Gate(loop, new Aligner(disk, BufferPool.ofBytes(8 << 20)));
        }
    }

    @Nested
    class OfTracker extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            Tracker tracker = new Tracker(disk(sizeBytes));
            tracker.add("one", new DirtyBitmap(sizeBytes, 4096));
            tracker.add("two", new DirtyBitmap(sizeBytes, 64 << 10));
            return tracker;
        }
    }

    @Nested
    class OfLayers extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            Layers layers = new Layers(disk(sizeBytes));
            layers.push(disk(sizeBytes));
            return layers;
        }
    }

    /** Half of the regions are copied, and pending again when they are changed. */
    @Nested
    class OfTrackedMirror extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            MirrorSettings settings = new MirrorSettings(64 << 10, 10_000_000_000L, true);
            TrackedMirror mirror = new TrackedMirror(
                    loop,
                    disk(sizeBytes),
                    disk(sizeBytes),
                    settings,
                    why -> {
                        throw new AssertionError(why.message());
                    },
                    null);
            copyHalf(mirror);
            return new Gate(loop, mirror);
        }
    }

    private static void copyHalf(Mirror mirror) {
        for (long region = 0; region < mirror.regions(); region += 2) {
            mirror.copy(region, new RegionHold() {
                @Override
                protected void held(@Nullable BlockError why) {
                    mirror.end(this, true);
                }
            });
        }
    }

    /** Half of the regions are copied, so that requests are split. */
    @Nested
    class OfMirror extends InSimulation {
        @Override
        protected BlockDevice open(long sizeBytes) {
            MirrorSettings settings = new MirrorSettings(64 << 10, 10_000_000_000L, true);
            Mirror mirror = new Mirror(loop, disk(sizeBytes), disk(sizeBytes), settings, why -> {
                throw new AssertionError(why.message());
            });
            copyHalf(mirror);
            if (trails()) {
                mirror.trail(new TrailSettings(1 << 20, 16, 20_000_000L, 5_000_000L));
            }
            return new Gate(loop, mirror);
        }

        boolean trails() {
            return false;
        }
    }

    @Nested
    class OfTrailingMirror extends OfMirror {
        @Override
        boolean trails() {
            return true;
        }
    }
}
