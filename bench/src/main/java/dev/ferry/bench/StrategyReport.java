package dev.ferry.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** What the strategies cost, as a table for people or as JSON for programs. */
final class StrategyReport {
    private static final String[] HEADINGS = {
        "load",
        "strategy",
        "time s",
        "held ms",
        "IOPS before",
        "during",
        "p99 us before",
        "during",
        "lost s",
        "MiB moved",
        ""
    };
    private static final int WORDS = 2;

    private final String where;
    private final long sizeBytes;
    private final int rounds;
    private final int seconds;
    private final List<StrategySample> samples = new ArrayList<>();

    StrategyReport(String where, long sizeBytes, int rounds, int seconds) {
        this.where = where;
        this.sizeBytes = sizeBytes;
        this.rounds = rounds;
        this.seconds = seconds;
    }

    void add(StrategySample median) {
        samples.add(median);
    }

    List<StrategySample> samples() {
        return List.copyOf(samples);
    }

    String text() {
        List<String[]> rows = new ArrayList<>();
        rows.add(HEADINGS);
        for (StrategySample sample : samples) {
            rows.add(new String[] {
                sample.load(),
                sample.strategy(),
                Report.number(sample.seconds()),
                Report.number(sample.downtimeMillis()),
                Report.number(sample.iopsBefore()),
                Report.number(sample.iopsDuring()),
                Report.number(sample.p99BeforeMicros()),
                Report.number(sample.p99DuringMicros()),
                Report.number(sample.lostSeconds()),
                Report.number(sample.movedMib()),
                sample.ended().equals("done") ? "" : "did not converge, ended " + sample.ended()
            });
        }
        StringBuilder text =
                new StringBuilder(Columns.text(rows, column -> column >= WORDS && column < HEADINGS.length - 1));
        text.append(String.format(
                Locale.ROOT,
                "%n%d MiB on %s, O_DIRECT, not compared; rounds: %d, %d s before each move.%n",
                sizeBytes >> 20,
                where,
                rounds,
                seconds));
        text.append("lost = held + time x (1 - IOPS during / IOPS before)\n");
        StrategyLoad.ALL.forEach(load ->
                text.append(load.name()).append(": ").append(load.what()).append('\n'));
        return text.toString();
    }

    String json() {
        JsonMapper json = JsonMapper.builder().build();
        ObjectNode root = json.createObjectNode();
        root.put("where", where).put("sizeBytes", sizeBytes).put("rounds", rounds);
        ArrayNode lines = root.putArray("moves");
        for (StrategySample sample : samples) {
            ObjectNode line = json.valueToTree(sample);
            lines.add(line.put("lostSeconds", sample.lostSeconds()));
        }
        return json.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
    }
}
