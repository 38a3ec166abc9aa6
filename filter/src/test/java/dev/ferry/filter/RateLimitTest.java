package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** So many bytes pass in a second, in the order in which they came. The time is the simulation's. */
class RateLimitTest {
    private static final int MEBI = 1 << 20;
    private static final long SECOND = 1_000_000_000L;

    private final SimLoop loop = new SimLoop(1);
    private final MemoryDisk disk = new MemoryDisk(64 * MEBI);
    private final RateLimit limit = new RateLimit(loop, disk);
    private final IoBuffer buffer = IoBuffer.allocate(16 * MEBI);
    private final List<Integer> ended = new ArrayList<>();
    private long lastNanos;

    private Completion end(int number) {
        return error -> {
            assertThat(error).isNull();
            ended.add(number);
            lastNanos = loop.nanoTime();
        };
    }

    @Test
    void withoutARateEverythingPassesAtOnce() {
        limit.read(0, buffer, 0, 16 * MEBI, end(1));
        limit.write(0, buffer, 0, 16 * MEBI, 0, end(2));
        assertThat(ended).containsExactly(1, 2);
    }

    @Test
    void readsAndWritesTogetherKeepToTheRate() {
        limit.rate(10 * MEBI);
        for (int i = 0; i < 20; i++) {
            limit.read(0, buffer, 0, MEBI, end(i));
            limit.write(0, buffer, 0, MEBI, 0, end(i));
        }
        loop.run();
        assertThat(ended).hasSize(40);
        // 40 MiB at 10 a second; the last one only has to begin, and nothing had been saved.
        assertThat(lastNanos).isEqualTo(39 * SECOND / 10);
    }

    @Test
    void anIdleTimeIsWorthATenthOfASecondAtMost() {
        limit.rate(10 * MEBI);
        loop.runFor(60 * SECOND);
        long from = loop.nanoTime();
        for (int i = 0; i < 11; i++) {
            limit.read(0, buffer, 0, MEBI, end(i));
        }
        loop.run();
        assertThat(lastNanos - from).isEqualTo(9 * SECOND / 10);
    }

    @Test
    void requestsBeginInTheOrderInWhichTheyCame() {
        limit.rate(MEBI);
        limit.write(0, buffer, 0, MEBI, 0, end(1));
        limit.read(0, buffer, 0, MEBI, end(2));
        limit.writeZeroes(0, 4096, 0, end(3));
        limit.discard(0, 32 * MEBI, 0, end(4));
        limit.write(0, buffer, 0, 512, 0, end(5));
        limit.flush(end(6));
        assertThat(ended).as("a flush waits for nobody").containsExactly(1, 6);
        loop.run();
        assertThat(ended).containsExactly(1, 6, 2, 3, 4, 5);
        assertThat(lastNanos).as("zeroes are not counted").isEqualTo(2 * SECOND);
    }

    @Test
    void theRateIsChangedWhileRequestsWait() {
        limit.rate(1024);
        for (int i = 0; i < 4; i++) {
            limit.write(0, buffer, 0, MEBI, 0, end(i));
        }
        loop.runFor(SECOND);
        assertThat(ended).as("the first takes a thousand seconds").containsExactly(0);
        limit.rate(MEBI);
        loop.runFor(SECOND / 2);
        assertThat(ended).containsExactly(0, 1);
        limit.rate(0);
        assertThat(ended).containsExactly(0, 1, 2, 3);
        loop.run();
        assertThat(ended).as("each once").hasSize(4);
    }

    @Test
    void aClientThatAsksAgainWhenItIsAnsweredKeepsToTheRateToo() {
        limit.rate(8 * MEBI);
        int[] left = {100};
        Completion again = new Completion() {
            @Override
            public void complete(dev.ferry.block.@org.jspecify.annotations.Nullable BlockError error) {
                end(0).complete(error);
                if (--left[0] > 0) {
                    limit.read(0, buffer, 0, MEBI, this);
                }
            }
        };
        limit.read(0, buffer, 0, MEBI, again);
        loop.run();
        assertThat(ended).hasSize(100);
        assertThat(lastNanos).isEqualTo(99 * SECOND / 8);
    }

    @Test
    void nothingIsLocatedWhileThereIsARate() {
        RateLimit located = new RateLimit(loop, LocatedDisk.make());
        FileRange range = new FileRange();
        assertThat(located.locate(0, 4096, range)).isTrue();
        located.rate(1);
        assertThat(located.locate(0, 4096, range)).isFalse();
    }
}
