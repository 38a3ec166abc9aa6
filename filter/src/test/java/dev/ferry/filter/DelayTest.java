package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Requests take as much longer as was said. */
class DelayTest {
    private static final int BLOCK = 4096;
    private static final long FIXED = 1_000_000;
    private static final long JITTER = 500_000;

    private final SimLoop loop = new SimLoop(1);
    private final MemoryDisk disk = new MemoryDisk(1 << 20);
    private final Delay delay = new Delay(loop, disk, new SplittableRandom(3));
    private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
    private final List<Long> endedAt = new ArrayList<>();
    private final Completion end = error -> {
        assertThat(error).isNull();
        endedAt.add(loop.nanoTime());
    };

    private void everyKind(BlockDevice on) {
        on.read(0, buffer, 0, BLOCK, end);
        on.write(0, buffer, 0, BLOCK, 0, end);
        on.writeZeroes(0, BLOCK, 0, end);
        on.discard(0, BLOCK, 0, end);
        on.flush(end);
    }

    @Test
    void withoutADelayEverythingPassesAtOnce() {
        everyKind(delay);
        assertThat(endedAt).containsExactly(0L, 0L, 0L, 0L, 0L);
        delay.extents(0, BLOCK, (from, bytes, state) -> {}, end);
        assertThat(endedAt).hasSize(6);
    }

    @Test
    void everyChangeAndReadIsHeldForTheFixedTime() {
        delay.delay(FIXED, 0);
        everyKind(delay);
        loop.runFor(FIXED - 1);
        assertThat(endedAt).isEmpty();
        assertThat(disk.flushes()).as("it is held before it goes below").isZero();
        loop.runFor(1);
        assertThat(endedAt).hasSize(5).containsOnly(FIXED);
    }

    @Test
    void jitterComesOnTopAndDiffers() {
        delay.delay(FIXED, JITTER);
        for (int i = 0; i < 1000; i++) {
            delay.read(0, buffer, 0, BLOCK, end);
        }
        loop.run();
        assertThat(endedAt).hasSize(1000).allMatch(at -> at >= FIXED && at < FIXED + JITTER);
        assertThat(endedAt.stream().distinct()).hasSizeGreaterThan(900);
        double mean = endedAt.stream().mapToLong(at -> at).average().orElse(0);
        assertThat(mean).isBetween(FIXED + 0.45 * JITTER, FIXED + 0.55 * JITTER);
    }

    @Test
    void itIsSwitchedWhileItRuns() {
        delay.delay(FIXED, 0);
        delay.flush(end);
        delay.delay(0, 0);
        delay.flush(end);
        assertThat(endedAt).containsExactly(0L);
        loop.run();
        assertThat(endedAt).containsExactly(0L, FIXED);
    }

    @Test
    void nothingIsLocatedWhileRequestsAreHeld() {
        Delay located = new Delay(loop, LocatedDisk.make(), new SplittableRandom(1));
        FileRange range = new FileRange();
        assertThat(located.locate(0, BLOCK, range)).isTrue();
        located.delay(0, 1);
        assertThat(located.locate(0, BLOCK, range)).isFalse();
    }
}
