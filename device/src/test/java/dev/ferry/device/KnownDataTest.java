package dev.ferry.device;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.BitSet;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class KnownDataTest {
    private final KnownData known = new KnownData();

    @Test
    void whatWasFoundBeforeAHoleWasMadeIsNotRemembered() {
        long age = known.age();
        known.holes(10, 5);
        known.learn(age, 0, 100);
        assertThat(known.endFrom(0)).isZero();
        known.learn(known.age(), 0, 100);
        assertThat(known.endFrom(0)).isEqualTo(100);
        known.forget();
        assertThat(known.endFrom(0)).isZero();
    }

    @Test
    void theLongerPartBesideAHoleStays() {
        known.learn(known.age(), 0, 100);
        known.holes(70, 10);
        assertThat(known.endFrom(5)).isEqualTo(70);
        assertThat(known.endFrom(70)).isEqualTo(70);
        known.holes(0, 10);
        assertThat(known.endFrom(9)).isEqualTo(9);
        assertThat(known.endFrom(10)).isEqualTo(70);
        known.holes(70, 30);
        assertThat(known.endFrom(10)).isEqualTo(70);
        known.holes(5, 100);
        assertThat(known.endFrom(10)).isEqualTo(10);
    }

    /** Against a set of the places that have data. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void neverTakesAHoleForData(long seed) {
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
        BitSet data = new BitSet();
        int told = 0;
        for (int i = 0; i < 20_000; i++) {
            int from = random.nextInt(200);
            int to = from + 1 + random.nextInt(40);
            switch (random.nextInt(4)) {
                case 0 -> {
                    data.clear(from, to);
                    known.holes(from, to - from);
                }
                case 1 -> data.set(from, to);
                case 2 -> {
                    if (data.get(from)) {
                        known.learn(known.age(), from, data.nextClearBit(from));
                    }
                }
                default -> {
                    int end = (int) known.endFrom(from);
                    assertThat(data.nextClearBit(from)).isGreaterThanOrEqualTo(end);
                    told += end > from ? 1 : 0;
                }
            }
        }
        assertThat(told).isPositive();
    }
}
