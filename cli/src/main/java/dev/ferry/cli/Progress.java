package dev.ferry.cli;

import dev.ferry.migration.Convergence;
import dev.ferry.migration.EtaRange;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.MigrationStatus.Verification;
import dev.ferry.migration.Phase;
import java.util.List;
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
    private String lastAdvice = "";
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
        Convergence convergence = status.convergence();
        String advice = convergence == null || convergence.advice() == null ? "" : convergence.advice();
        if (!advice.isEmpty() && lastAdvice.isEmpty()) {
            screen.print(status.id() + " " + advice);
        }
        lastAdvice = advice;
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

    /** Lines that say how a move by tracking converges; none for others. */
    static List<String> convergence(MigrationStatus status) {
        Convergence now = status.convergence();
        if (now == null) {
            return List.of();
        }
        String line = String.format(
                Locale.ROOT,
                "rounds    iteration %d: guest dirties %s, the copy makes %s, %s left, which would hold it for %.0f ms of %.0f",
                now.iterations(),
                Quantities.rate(now.dirtyBytesPerSecond()),
                Quantities.rate(now.copyBytesPerSecond()),
                Quantities.size(now.leftBytes()),
                now.downtimeMillis(),
                now.downtimeMillisMax());
        String advice = now.advice();
        return advice == null ? List.of(line) : List.of(line, "          " + advice);
    }

    private String moving(MigrationStatus status) {
        Convergence now = status.convergence();
        String advice = now == null || now.advice() == null ? "" : "  " + now.advice();
        return screen.bold(status.id()) + " " + screen.green(bar(percent(status))) + " " + figures(status) + advice;
    }

    private static String plain(MigrationStatus status) {
        return status.id() + " " + figures(status);
    }

    private static String figures(MigrationStatus status) {
        String line = String.format(Locale.ROOT, "%3.0f %%  ", percent(status)) + word(status);
        Verification verification = status.verification();
        EtaRange eta = status.eta();
        if (eta != null) {
            return line
                    + (verification == null
                            ? amounts(status.doneBytes(), status.totalBytes(), status.bytesPerSecond(), null)
                            : amounts(
                                    verification.doneBytes(),
                                    verification.totalBytes(),
                                    verification.bytesPerSecond(),
                                    null))
                    + "  " + left(eta);
        }
        return verification == null
                ? line + amounts(status.doneBytes(), status.totalBytes(), status.bytesPerSecond(), status.etaSeconds())
                : line
                        + amounts(
                                verification.doneBytes(),
                                verification.totalBytes(),
                                verification.bytesPerSecond(),
                                verification.etaSeconds());
    }

    /** Such as {@code 2 to 3 min left (it was paused for 20 s)}. */
    static String left(EtaRange eta) {
        String earliest = Quantities.time(eta.earliestSeconds());
        String latest = Quantities.time(eta.latestSeconds());
        return (earliest.equals(latest) ? latest : earliest + " to " + latest) + " left"
                + (eta.moved() == null ? "" : " (" + eta.moved() + ")");
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
            case RUNNING ->
                status.phase() == Phase.COPY
                        ? status.phase().text() + " (" + status.mover() + ")"
                        : status.phase().text();
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
