package dev.ferry.migration;

import dev.ferry.filter.mirror.Mirror;
import dev.ferry.migration.copy.DifferingRange;
import dev.ferry.migration.copy.VerifierSettings;
import java.util.List;

/** What a comparison found to differ. */
record Differences(List<DifferingRange> ranges) {
    static final Differences NONE = new Differences(List.of());

    Differences {
        ranges = List.copyOf(ranges);
    }

    /** Such as {@code 4096 bytes at 65536}. */
    List<String> words() {
        return ranges.stream()
                .map(range -> range.length() + " bytes at " + range.offset())
                .toList();
    }

    /** On the loop. If there are more than are named, all from the last one on counts as different. */
    void spoil(Mirror mirror, long sizeBytes) {
        for (DifferingRange range : ranges) {
            mirror.spoil(range.offset(), range.length());
        }
        if (ranges.isEmpty() || ranges.size() == VerifierSettings.DEFAULT.differencesMax()) {
            long from = ranges.isEmpty() ? 0 : ranges.getLast().offset();
            mirror.spoil(from, sizeBytes - from);
        }
    }
}
