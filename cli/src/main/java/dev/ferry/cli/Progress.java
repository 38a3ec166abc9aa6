package dev.ferry.cli;

import dev.ferry.migration.MigrationStatus;
import java.util.Locale;

/**
 * How a move comes along: on a terminal one line that changes, elsewhere a line every few seconds and at each new phase.
 */
public final class Progress {
    private static final int BAR_CELLS = 24;
    private static final long PLAIN_NANOS = 5_000_000_000L;
    private static final String[] EIGHTHS = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};

    private final Screen screen;
    private final boolean silent;
    private String lastPhase = "";
    private long lastNanos;
    private boolean open;

    /** @param silent show nothing, unless there is a terminal to show it on besides the answer */
    public Progress(Screen screen, boolean silent) {
        this.screen = screen;
        this.silent = silent;
    }

    public void show(MigrationStatus status) {
        if (silent) {
            return;
        }
        if (screen.terminal()) {
            screen.out().print("\r\u001b[K" + moving(status));
            screen.out().flush();
            open = true;
            return;
        }
        long now = System.nanoTime();
        String phase = status.phase().text() + status.state().text();
        if (!phase.equals(lastPhase) || now - lastNanos > PLAIN_NANOS) {
            lastPhase = phase;
            lastNanos = now;
            screen.print(plain(status));
        }
    }

    /** Ends the line that changes, if there is one. */
    public void end() {
        if (open) {
            screen.out().print("\r\u001b[K");
            screen.out().flush();
            open = false;
        }
    }

    private String moving(MigrationStatus status) {
        return screen.bold(status.id()) + " " + screen.green(bar(status.progress())) + " " + figures(status);
    }

    private static String plain(MigrationStatus status) {
        return status.id() + " " + figures(status);
    }

    private static String figures(MigrationStatus status) {
        StringBuilder line = new StringBuilder();
        line.append(String.format(Locale.ROOT, "%3.0f %%  ", status.progress())).append(word(status));
        line.append("  ").append(Quantities.size(status.doneBytes())).append(" of ");
        line.append(Quantities.size(status.totalBytes()));
        if (status.bytesPerSecond() > 0) {
            line.append("  ").append(Quantities.rate(status.bytesPerSecond()));
        }
        Long etaSeconds = status.etaSeconds();
        if (etaSeconds != null && etaSeconds > 0) {
            line.append("  ").append(Quantities.time(etaSeconds)).append(" left");
        }
        return line.toString();
    }

    private static String word(MigrationStatus status) {
        return switch (status.state()) {
            case RUNNING -> status.phase().text();
            default -> status.state().text();
        };
    }

    private static String bar(double percent) {
        double cells = Math.max(0, Math.min(percent, 100)) / 100 * BAR_CELLS;
        int whole = (int) cells;
        String part = EIGHTHS[(int) ((cells - whole) * EIGHTHS.length)];
        String filled = "█".repeat(whole) + part;
        return "▕" + filled + " ".repeat(BAR_CELLS - whole - part.length()) + "▏";
    }
}
