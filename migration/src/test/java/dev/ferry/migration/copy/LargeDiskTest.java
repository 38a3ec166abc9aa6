package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepMap;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.filter.mirror.StepStore;
import dev.ferry.filter.mirror.TrailSettings;
import dev.ferry.testkit.SimLoop;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A sparse disk of 16 TiB is moved: in little memory, and in a time that hangs on what is in it. */
@Timeout(120)
class LargeDiskTest {
    private static final long SIZE = 16L << 40;
    private static final int REGION = MirrorSettings.DEFAULT.regionBytes();
    private static final int PIECES = 64;
    private static final long MAPS_MAX = 64L << 20;

    private final SimLoop loop = new SimLoop(1);
    private final HoleyDisk source = new HoleyDisk(SIZE);
    private final HoleyDisk target = new HoleyDisk(SIZE);

    /** Keeps nothing. */
    private static final class NoStore implements StepStore {
        @Override
        public void copied(int word, long bits) {}

        @Override
        public void open(int word, long bits) {}

        @Override
        public void firm(int word, long bits) {}

        @Override
        public void sync(Completion durable) {
            durable.complete(null);
        }
    }

    @Test
    void itsMapsAreSmallAndItsHolesCostNothing() {
        SplittableRandom random = new SplittableRandom(1);
        byte[] ones = new byte[4096];
        Arrays.fill(ones, (byte) 1);
        while (source.blocks().size() < PIECES) {
            source.blocks().put(random.nextLong(SIZE / 4096) * 4096, ones);
        }
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        long regions = SIZE / REGION;
        StepMap steps = new StepMap(loop, new NoStore(), StepSettings.forRegions(regions), regions);
        Mirror mirror = new Mirror(loop, source, target, MirrorSettings.DEFAULT, why -> {}, steps);
        mirror.trail(TrailSettings.DEFAULT);
        Copier copier = new Copier(loop, mirror, BufferPool.ofBytes(16 << 20), CopierSettings.DEFAULT);
        long maps = threads.getCurrentThreadAllocatedBytes() - before;
        assertThat(maps).isLessThan(MAPS_MAX);

        List<@Nullable BlockError> ends = new ArrayList<>();
        long begin = System.nanoTime();
        copier.start(ends::add);
        boolean over = loop.runUntil(() -> !ends.isEmpty(), loop.nanoTime() + 3_600_000_000_000L);
        double seconds = (System.nanoTime() - begin) / 1e9;
        assertThat(over).isTrue();
        assertThat(ends).hasSize(1).containsOnlyNulls();
        assertThat(copier.progress().doneBytes()).isEqualTo(PIECES * 4096L);
        assertThat(target.blocks().keySet()).isEqualTo(source.blocks().keySet());
        assertThat(target.blocks().values())
                .allSatisfy(block -> assertThat(block).isEqualTo(ones));
        System.out.printf("16 TiB: %d KiB of maps, %.1f s to go through its holes%n", maps >> 10, seconds);
    }
}
