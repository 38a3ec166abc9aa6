package dev.ferry.cli;

import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.MigrationStatus.Verification;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

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
        return screen.bold(status.id()) + " " + screen.green(bar(percent(status))) + " " + figures(status);
    }

    private static String plain(MigrationStatus status) {
        return status.id() + " " + figures(status);
    }

    private static String figures(MigrationStatus status) {
        String line = String.format(Locale.ROOT, "%3.0f %%  ", percent(status)) + word(status);
        Verification verification = status.verification();
        return verification == null
                ? line + amounts(status.doneBytes(), status.totalBytes(), status.bytesPerSecond(), status.etaSeconds())
                : line
                        + amounts(
                                verification.doneBytes(),
                                verification.totalBytes(),
                                verification.bytesPerSecond(),
                                verification.etaSeconds());
    }

    private static String amounts(long doneBytes, long totalBytes, long bytesPerSecond, @Nullable Long etaSeconds) {
        return "  " + Quantities.size(doneBytes) + " of " + Quantities.size(totalBytes)
                + (bytesPerSecond > 0 ? "  " + Quantities.rate(bytesPerSecond) : "")
                + (etaSeconds != null && etaSeconds > 0 ? "  " + Quantities.time(etaSeconds) + " left" : "");
    }

    /** Of what the move is at: both sides' comparison counts for itself. */
    static double percent(MigrationStatus status) {
        Verification verification = status.verification();
        return verification == null ? status.progress() : verification.progress();
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
