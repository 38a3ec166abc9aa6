package dev.ferry.migration.rehearsal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class ForecastTest {
    private static final double MIB = 1 << 20;

    private static Forecast forecast(
            @Nullable Range source, @Nullable Range target, double digested, long rate, boolean guest) {
        return new Forecast(1000 * MIB, 0, 0, null, source, target, target, digested, rate, guest);
    }

    private static Range mib(double least, double most) {
        return new Range(least * MIB, most * MIB);
    }

    @Test
    void bothSidesAtOnceAtBestAndOneAfterTheOtherAtWorst() {
        Range seconds = Objects.requireNonNull(
                forecast(mib(100, 200), mib(50, 100), 0, 0, false).seconds());
        assertThat(seconds.least()).isCloseTo(10, within(1.0));
        assertThat(seconds.most()).isCloseTo(30, within(3.0));
    }

    @Test
    void comparingAndAGuestTakeTheirTime() {
        Range alone = Objects.requireNonNull(
                forecast(mib(100, 200), mib(100, 200), 0, 0, false).seconds());
        Range compared = Objects.requireNonNull(
                forecast(mib(100, 200), mib(100, 200), 50 * MIB, 0, false).seconds());
        Range beside = Objects.requireNonNull(
                forecast(mib(100, 200), mib(100, 200), 0, 0, true).seconds());
        assertThat(compared.least()).isGreaterThan(alone.least() + 19);
        assertThat(beside.most()).isGreaterThan(2 * alone.most());
        assertThat(beside.least()).isEqualTo(alone.least());
    }

    @Test
    void aRateIsABoundOnBothEnds() {
        Range seconds = Objects.requireNonNull(
                forecast(mib(100, 200), mib(100, 200), 0, (long) MIB, false).seconds());
        assertThat(seconds.least()).isGreaterThanOrEqualTo(1000);
        assertThat(seconds.most()).isLessThan(1010);
    }

    @Test
    void whatWasNotMeasuredIsUnknown() {
        assertThat(forecast(null, mib(1, 2), 0, 0, false).seconds()).isNull();
        assertThat(forecast(mib(1, 2), null, 0, 0, false).seconds()).isNull();
        assertThat(forecast(mib(1, 2), null, 0, 0, false).longestWaitMillis()).isNull();
        assertThat(Forecast.addedMillis(null, null)).isNull();
        assertThat(new Forecast(0, 0, 0, null, null, null, null, 0, 0, false).seconds())
                .isNotNull();
        assertThat(new Forecast(0, 1, 0, null, null, null, null, 0, 0, false).seconds())
                .isNull();
    }

    @Test
    void whatTheStoresCopyIsNotReadAndWritten() {
        Range half = Objects.requireNonNull(
                new Forecast(1000 * MIB, 0, 500 * MIB, mib(5000, 10000), mib(50, 100), mib(50, 100), null, 0, 0, false)
                        .seconds());
        assertThat(half.least()).isCloseTo(5, within(1.0));
        assertThat(half.most()).isCloseTo(20, within(3.0));
    }

    @Test
    void aDiskThatIsZeroedFirstTakesThatMuchLonger() {
        Range seconds = Objects.requireNonNull(
                new Forecast(0, 1000 * MIB, 0, null, null, mib(50, 100), null, 0, 0, false).seconds());
        assertThat(seconds.least()).isCloseTo(10, within(1.0));
        assertThat(seconds.most()).isCloseTo(20, within(3.0));
    }

    @Test
    void theMirrorCostsTheSlowerSide() {
        assertThat(Forecast.addedMillis(new Range(3, 9), new Range(1, 2))).isEqualTo(new Range(2, 8));
        assertThat(Forecast.addedMillis(new Range(1, 2), new Range(3, 9))).isEqualTo(new Range(0, 0));
        assertThat(Forecast.addedMillis(new Range(3, 9), null)).isEqualTo(new Range(0, 9));
    }
}
