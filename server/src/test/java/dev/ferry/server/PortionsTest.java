package dev.ferry.server;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class PortionsTest {
    private static final int THREADS = 4;

    private record Portion(long from, long to) {}

    @ParameterizedTest
    @ValueSource(longs = {1, 511, 32L << 20, (32L << 20) + 1, 5_000_000_001L, 1L << 44, Long.MAX_VALUE - 511})
    void everyByteIsInOneOfThem(long sizeBytes) {
        Portions portions = Portions.of(sizeBytes);
        long end = 0;
        long count = 0;
        for (long at = portions.take(); at >= 0 && count < 100_000; at = portions.take()) {
            assertThat(at).isEqualTo(end);
            end = portions.endOf(at);
            assertThat(end - at).isPositive();
            count++;
        }
        assertThat(count).isEqualTo(Math.min(100_000, portions.count()));
        assertThat(end).isEqualTo(Math.min(sizeBytes, count << 30));
    }

    @Test
    void aDiskOfNothingHasNone() {
        assertThat(Portions.of(0).take()).isNegative();
        assertThat(Portions.of(0).count()).isZero();
    }

    @Test
    void threadsTakeEachOnce() throws Exception {
        Portions portions = Portions.of(7_777_777_777L);
        ConcurrentLinkedQueue<Portion> taken = new ConcurrentLinkedQueue<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < THREADS; i++) {
            threads.add(Thread.ofPlatform().start(() -> {
                for (long at = portions.take(); at >= 0; at = portions.take()) {
                    taken.add(new Portion(at, portions.endOf(at)));
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        long end = 0;
        for (Portion portion :
                taken.stream().sorted(Comparator.comparingLong(Portion::from)).toList()) {
            assertThat(portion.from()).isEqualTo(end);
            end = portion.to();
        }
        assertThat(end).isEqualTo(7_777_777_777L);
    }
}
