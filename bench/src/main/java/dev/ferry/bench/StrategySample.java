package dev.ferry.bench;

import java.util.List;

/**
 * One move by one strategy under one load.
 *
 * @param load its name
 * @param strategy by which it was begun
 * @param ended how it ended: {@code done}, or {@code as a mirror} if it did not converge and was changed over
 * @param seconds from its start to its end
 * @param downtimeMillis how long the guest was held at the switch
 * @param iopsBefore requests a second before it
 * @param iopsDuring and while it went on
 * @param p99BeforeMicros of 100 requests 99 took no longer than that before it
 * @param p99DuringMicros and while it went on
 * @param movedBytes written to the target, by the copy and by the guest
 */
record StrategySample(
        String load,
        String strategy,
        String ended,
        double seconds,
        double downtimeMillis,
        double iopsBefore,
        double iopsDuring,
        double p99BeforeMicros,
        double p99DuringMicros,
        double movedBytes) {
    /** What the move cost the guest: the time that it was held, and what it did not get done of the rest. */
    double lostSeconds() {
        return downtimeMillis / 1000 + seconds * Math.max(0, 1 - iopsDuring / iopsBefore);
    }

    double movedMib() {
        return movedBytes / (1 << 20);
    }

    /** The middle of each figure of several rounds. */
    static StrategySample median(List<StrategySample> rounds) {
        StrategySample first = rounds.getFirst();
        String ended = rounds.stream()
                .map(StrategySample::ended)
                .filter(how -> !how.equals("done"))
                .findFirst()
                .orElse("done");
        return new StrategySample(
                first.load,
                first.strategy,
                ended,
                Median.of(rounds, StrategySample::seconds),
                Median.of(rounds, StrategySample::downtimeMillis),
                Median.of(rounds, StrategySample::iopsBefore),
                Median.of(rounds, StrategySample::iopsDuring),
                Median.of(rounds, StrategySample::p99BeforeMicros),
                Median.of(rounds, StrategySample::p99DuringMicros),
                Median.of(rounds, StrategySample::movedBytes));
    }
}
