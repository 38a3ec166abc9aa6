package dev.ferry.bench;

import java.util.List;
import java.util.function.IntPredicate;

/** Rows of text, below each other in columns. */
final class Columns {
    private Columns() {}

    /** @param right which columns stand at their right edge, as numbers do */
    static String text(List<String[]> rows, IntPredicate right) {
        int[] widths = new int[rows.getFirst().length];
        for (String[] row : rows) {
            for (int column = 0; column < row.length; column++) {
                widths[column] = Math.max(widths[column], row[column].length());
            }
        }
        StringBuilder text = new StringBuilder();
        for (String[] row : rows) {
            StringBuilder line = new StringBuilder();
            for (int column = 0; column < row.length; column++) {
                String pad = " ".repeat(widths[column] - row[column].length());
                line.append(right.test(column) ? pad + row[column] : row[column] + pad)
                        .append("  ");
            }
            text.append(line.toString().stripTrailing()).append('\n');
        }
        return text.toString();
    }
}
