package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** How long the guests of four disks are held at the switch to the target, and at that of the way back. */
@Tag("alone")
@Timeout(300)
final class PassageTimesTest {
    private static final int ROUNDS = 5;
    /** Many times what is promised (20 ms), for machines that do much else; the figures are printed. */
    private static final double PAUSE_MILLIS_MEDIAN_MAX = 500;

    @Test
    void whatItTakesForFourDisksToGoThereAndBack() throws Exception {
        PassageTimes times = PassageTimes.measure(ROUNDS);
        System.out.println(times);
        assertThat(times.thereMedianMillis()).isLessThan(PAUSE_MILLIS_MEDIAN_MAX);
        assertThat(times.backMedianMillis()).isLessThan(PAUSE_MILLIS_MEDIAN_MAX);
    }
}
