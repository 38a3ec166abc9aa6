package dev.ferry.cli;

import java.util.ArrayList;
import java.util.List;

/** Columns of text for people, each as wide as its widest cell. */
final class Table {
    private final List<List<String>> rows = new ArrayList<>();

    Table(String... titles) {
        rows.add(List.of(titles));
    }

    void row(String... cells) {
        rows.add(List.of(cells));
    }

    void print(Screen screen) {
        int columns = rows.getFirst().size();
        for (int r = 0; r < rows.size(); r++) {
            StringBuilder line = new StringBuilder();
            for (int c = 0; c < columns; c++) {
                String cell = rows.get(r).get(c);
                line.append(cell);
                if (c < columns - 1) {
                    line.append(" ".repeat(width(c) - cell.length() + 2));
                }
            }
            screen.print(r == 0 ? screen.bold(line.toString()) : line.toString());
        }
    }

    private int width(int column) {
        return rows.stream().mapToInt(row -> row.get(column).length()).max().orElse(0);
    }
}
