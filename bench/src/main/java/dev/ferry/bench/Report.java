package dev.ferry.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** All comparisons of a run, as a table for people or as JSON for programs. */
final class Report {
    private static final String[] HEADINGS = {"where", "what", "figure", "ferry", "peer", "", "measured", "goal", ""};

    private final List<Comparison> comparisons = new ArrayList<>();
    private final List<String> notes = new ArrayList<>();

    void add(Comparison comparison) {
        comparisons.add(comparison);
    }

    /** A line below the table. */
    void note(String line) {
        notes.add(line);
    }

    void addAll(Report other) {
        comparisons.addAll(other.comparisons);
        notes.addAll(other.notes);
    }

    String text() {
        List<String[]> rows = new ArrayList<>();
        rows.add(HEADINGS);
        for (Comparison line : comparisons) {
            rows.add(new String[] {
                line.where(),
                line.what(),
                line.figure(),
                number(line.ferry()),
                line.peer(),
                line.peer().isEmpty() ? "" : number(line.peerValue()),
                number(line.measured()) + (line.peer().isEmpty() ? "" : "x"),
                line.goal().text(),
                line.goal().verdict(line.measured())
            });
        }
        StringBuilder text = new StringBuilder(Columns.text(rows, column -> column == 3 || column == 5 || column == 6));
        long goals = comparisons.stream()
                .filter(line -> !(line.goal() instanceof Goal.None))
                .count();
        long met = comparisons.stream()
                .filter(line -> !(line.goal() instanceof Goal.None) && line.met())
                .count();
        text.append(String.format(Locale.ROOT, "%n%d of %d goals met%n", met, goals));
        notes.forEach(note -> text.append(note).append('\n'));
        return text.toString();
    }

    String json() {
        JsonMapper json = JsonMapper.builder().build();
        ObjectNode root = json.createObjectNode();
        root.put("kernel", System.getProperty("os.version"));
        root.put("processors", Runtime.getRuntime().availableProcessors());
        ArrayNode lines = root.putArray("comparisons");
        for (Comparison line : comparisons) {
            ObjectNode node = lines.addObject();
            node.put("where", line.where()).put("what", line.what()).put("figure", line.figure());
            node.put("ferry", line.ferry());
            if (!line.peer().isEmpty()) {
                node.put("peer", line.peer()).put("peerValue", line.peerValue());
            }
            node.put("measured", line.measured());
            if (!(line.goal() instanceof Goal.None)) {
                node.put("goal", line.goal().text()).put("met", line.met());
            }
        }
        ArrayNode remarks = root.putArray("notes");
        notes.forEach(remarks::add);
        return json.writerWithDefaultPrettyPrinter().writeValueAsString(root) + "\n";
    }

    /** A number with as many digits as it deserves. */
    static String number(double value) {
        double size = Math.abs(value);
        return String.format(
                Locale.ROOT, size >= 1000 ? "%,.0f" : size >= 100 ? "%.0f" : size >= 10 ? "%.1f" : "%.2f", value);
    }
}
