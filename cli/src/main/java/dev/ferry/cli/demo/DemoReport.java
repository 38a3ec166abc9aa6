package dev.ferry.cli.demo;

import com.fasterxml.jackson.annotation.JsonIgnore;
import dev.ferry.cli.Quantities;
import dev.ferry.cli.Screen;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * What a demonstration showed; its JSON.
 *
 * @param seconds how long the move took
 * @param mibPerSecond of data copied
 * @param guest what the guest felt
 * @param longestStallMillis the longest that any request of the guest took while the disk moved
 * @param switchoverPauseMillis how long no request went through at the switch
 * @param sourceDigest of the source's bytes before the switch, hexadecimal; null without verification
 * @param equal both digests are the same; null without verification
 * @param wrongReads blocks that the guest read and that were not what it had written, during the move or at the end
 */
record DemoReport(
        double seconds,
        double mibPerSecond,
        Guest guest,
        double longestStallMillis,
        double switchoverPauseMillis,
        @Nullable String sourceDigest,
        @Nullable String targetDigest,
        @Nullable Boolean equal,
        long wrongReads,
        @JsonIgnore Facts facts) {
    /** The guest before, during and after the move. */
    record Guest(Feeling before, Feeling during, Feeling after) {}

    /** How the guest's requests went. */
    record Feeling(double iops, double p99Micros) {}

    /** For people alone. */
    record Facts(long diskBytes, long copiedBytes, long reads, long blocks) {}

    boolean good() {
        return wrongReads == 0 && !Boolean.FALSE.equals(equal);
    }

    void print(Screen screen) {
        screen.print("");
        screen.print("  " + screen.bold("A disk moved while a guest worked on it."));
        screen.print("");
        screen.print(String.format(
                Locale.ROOT,
                "  moved     %s of data on a disk of %s in %.1f s, %.0f MiB/s",
                Quantities.size(facts.copiedBytes()),
                Quantities.size(facts.diskBytes()),
                seconds,
                mibPerSecond));
        screen.print(line("guest     before ", guest.before()));
        screen.print(line("          during ", guest.during()));
        screen.print(line("          after  ", guest.after()));
        screen.print("  felt      longest wait " + Quantities.millis(longestStallMillis) + ", switch-over pause "
                + Quantities.millis(switchoverPauseMillis));
        screen.print("  proof     " + proof(screen));
        screen.print(String.format(
                Locale.ROOT,
                "  checked   %,d reads under way and all %,d blocks at the end: %s",
                facts.reads(),
                facts.blocks(),
                wrongReads == 0 ? screen.green("none wrong") : screen.red(wrongReads + " wrong")));
        screen.print("");
    }

    private static String line(String what, Feeling felt) {
        return String.format(
                Locale.ROOT,
                "  %s %,7.0f IOPS   p99 %s",
                what,
                felt.iops(),
                Quantities.millis(felt.p99Micros() / 1000));
    }

    private String proof(Screen screen) {
        if (equal == null || sourceDigest == null) {
            return "none was asked for (--no-verify)";
        }
        String digest = sourceDigest.substring(0, Math.min(16, sourceDigest.length()));
        return equal
                ? screen.green("equal at the switch") + ", digest " + digest + "… on both sides"
                : screen.red("not equal") + ": " + sourceDigest + " and " + targetDigest;
    }
}
