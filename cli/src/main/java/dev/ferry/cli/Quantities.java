package dev.ferry.cli;

import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/** Sizes, rates and times as people write and read them. Units are powers of 1024. */
public final class Quantities {
    private static final String UNITS = "KMGTP";
    private static final Pattern WRITTEN = Pattern.compile("([0-9]+(?:\\.[0-9]+)?)\\s*([KMGTP]?)(?:i?B)?");
    private static final int STEP = 1024;

    private Quantities() {}

    /** Reads {@code 10G}, {@code 512M}, {@code 1.5T}, {@code 4096}. */
    public static final class Size implements ITypeConverter<Long> {
        @Override
        public Long convert(String text) {
            return bytes(text, "a size, such as 10G or 512M");
        }
    }

    /** Reads {@code 200M}, {@code 200M/s}; {@code 0} is no bound. */
    public static final class Rate implements ITypeConverter<Long> {
        @Override
        public Long convert(String text) {
            String amount = text.endsWith("/s") ? text.substring(0, text.length() - 2) : text;
            return bytes(amount, "a rate in bytes per second, such as 200M; 0 is no bound");
        }
    }

    /** Reads {@code 90s}, {@code 30m}, {@code 2h}, {@code 7d} as milliseconds; {@code until-commit} is -1, {@code 0} none. */
    public static final class Grace implements ITypeConverter<Long> {
        private static final Pattern TIME = Pattern.compile("([0-9]{1,9})([smhd])");
        private static final long MILLIS = 1000;

        @Override
        public Long convert(String text) {
            String bare = text.strip().toLowerCase(Locale.ROOT);
            if (bare.equals("until-commit")) {
                return -1L;
            }
            if (bare.equals("0")) {
                return 0L;
            }
            Matcher matcher = TIME.matcher(bare);
            if (!matcher.matches()) {
                throw new TypeConversionException(
                        "'" + text + "' is not a time, such as 90s, 30m, 2h or 7d, nor 'until-commit'");
            }
            long seconds = switch (matcher.group(2)) {
                case "s" -> 1;
                case "m" -> 60;
                case "h" -> 60 * 60;
                default -> 24 * 60 * 60;
            };
            return Long.parseLong(matcher.group(1)) * seconds * MILLIS;
        }
    }

    private static long bytes(String text, String wanted) {
        Matcher matcher = WRITTEN.matcher(text.strip().toUpperCase(Locale.ROOT).replace("IB", "B"));
        if (!matcher.matches()) {
            throw new TypeConversionException("'" + text + "' is not " + wanted);
        }
        String unit = matcher.group(2);
        double factor = unit.isEmpty() ? 1 : Math.pow(STEP, UNITS.indexOf(unit) + 1);
        double bytes = Double.parseDouble(matcher.group(1)) * factor;
        if (bytes > Long.MAX_VALUE / 2.0) {
            throw new TypeConversionException("'" + text + "' is more than there can be");
        }
        if (unit.isEmpty() && matcher.group(1).indexOf('.') >= 0) {
            throw new TypeConversionException("'" + text + "' is not " + wanted);
        }
        return Math.round(bytes);
    }

    /** Such as {@code 1.5 GiB}. */
    public static String size(long bytes) {
        if (bytes < 0) {
            return "?";
        }
        if (bytes < STEP) {
            return bytes + " B";
        }
        double amount = bytes;
        int unit = -1;
        while (amount >= STEP && unit < UNITS.length() - 1) {
            amount /= STEP;
            unit++;
        }
        boolean whole = amount == Math.rint(amount) || amount >= 100;
        return String.format(Locale.ROOT, whole ? "%.0f %siB" : "%.1f %siB", amount, UNITS.charAt(unit));
    }

    public static String rate(long bytesPerSecond) {
        return size(bytesPerSecond) + "/s";
    }

    /** Such as {@code 42 s}, {@code 3 min 20 s}, {@code 2 h 5 min}. */
    public static String time(long seconds) {
        if (seconds < 60) {
            return seconds + " s";
        }
        long minutes = seconds / 60;
        if (minutes < 60) {
            return minutes + " min " + seconds % 60 + " s";
        }
        return minutes / 60 + " h " + minutes % 60 + " min";
    }

    /** Such as {@code 0.83 ms}, {@code 41 ms}, {@code 1.2 s}. */
    public static String millis(double millis) {
        if (millis >= 1000) {
            return String.format(Locale.ROOT, "%.1f s", millis / 1000);
        }
        return String.format(Locale.ROOT, millis < 10 ? "%.2f ms" : "%.0f ms", millis);
    }
}
