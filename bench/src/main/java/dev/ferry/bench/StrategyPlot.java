package dev.ferry.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/**
 * Four panels of bars, one for each figure: the loads side by side, a bar for each strategy. SVG by hand: rectangles, lines
 * and text are all that it takes.
 */
final class StrategyPlot {
    private static final int PANEL_WIDTH = 430;
    private static final int PANEL_HEIGHT = 220;
    private static final int MARGIN = 54;
    private static final int GAP = 36;
    private static final int LEGEND = 40;
    private static final String[] COLOURS = {"#2b6cb0", "#dd8a1a", "#3a9a5c"};
    private static final int TICKS = 4;
    private static final double GROUP_SHARE = 0.72;

    private record Panel(String title, ToDoubleFunction<StrategySample> value) {}

    private static final List<Panel> PANELS = List.of(
            new Panel("time, s", StrategySample::seconds),
            new Panel("guest held at the switch, ms", StrategySample::downtimeMillis),
            new Panel("time lost to the guest, s", StrategySample::lostSeconds),
            new Panel("moved, MiB", StrategySample::movedMib));

    private final List<StrategySample> samples;
    private final List<String> loads;
    private final List<String> strategies;
    private final StringBuilder svg = new StringBuilder();

    StrategyPlot(List<StrategySample> samples) {
        this.samples = samples;
        this.loads = samples.stream().map(StrategySample::load).distinct().toList();
        this.strategies =
                samples.stream().map(StrategySample::strategy).distinct().toList();
    }

    String svg() {
        int width = 2 * (PANEL_WIDTH + MARGIN) + GAP;
        int height = LEGEND + 2 * (PANEL_HEIGHT + 2 * GAP);
        add(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"12\">",
                width, height);
        add("<rect width=\"%d\" height=\"%d\" fill=\"white\"/>", width, height);
        for (int i = 0; i < strategies.size(); i++) {
            add("<rect x=\"%d\" y=\"14\" width=\"12\" height=\"12\" fill=\"%s\"/>", MARGIN + i * 110, colour(i));
            text(MARGIN + i * 110 + 18, 24, "start", strategies.get(i));
        }
        for (int i = 0; i < PANELS.size(); i++) {
            int x = MARGIN + i % 2 * (PANEL_WIDTH + MARGIN);
            int y = LEGEND + GAP + i / 2 * (PANEL_HEIGHT + 2 * GAP);
            panel(PANELS.get(i), x, y);
        }
        return svg.append("</svg>\n").toString();
    }

    private static String colour(int strategy) {
        return COLOURS[strategy % COLOURS.length];
    }

    private void panel(Panel panel, int left, int top) {
        double most = samples.stream().mapToDouble(panel.value()).max().orElse(0);
        double step = step(most);
        double full = Math.max(step, Math.ceil(most / step) * step);
        text(left, top - 10, "start", panel.title());
        for (double value = 0; value <= full + step / 2; value += step) {
            double y = top + PANEL_HEIGHT * (1 - value / full);
            add(
                    "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#dddddd\"/>",
                    left, left + PANEL_WIDTH - GAP, y, y);
            text(left - 6, y + 4, "end", Report.number(value));
        }
        double group = (double) (PANEL_WIDTH - GAP) / Math.max(1, loads.size());
        double bar = group * GROUP_SHARE / Math.max(1, strategies.size());
        for (StrategySample sample : samples) {
            int strategy = strategies.indexOf(sample.strategy());
            double x = left + loads.indexOf(sample.load()) * group + group * (1 - GROUP_SHARE) / 2 + strategy * bar;
            double height = PANEL_HEIGHT * panel.value().applyAsDouble(sample) / full;
            add(
                    "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"><title>%s, %s: %s%s</title></rect>",
                    x,
                    top + PANEL_HEIGHT - height,
                    bar - 2,
                    height,
                    colour(strategy),
                    sample.load(),
                    sample.strategy(),
                    Report.number(panel.value().applyAsDouble(sample)),
                    sample.ended().equals("done") ? "" : ", ended " + sample.ended());
        }
        List<String> names = new ArrayList<>(loads);
        for (int i = 0; i < names.size(); i++) {
            text(left + (i + 0.5) * group, top + PANEL_HEIGHT + 16, "middle", names.get(i));
        }
    }

    /** A round number of which some four make up the whole. */
    static double step(double most) {
        double raw = Math.max(most, 1e-9) / TICKS;
        double power = Math.pow(10, Math.floor(Math.log10(raw)));
        double share = raw / power;
        return power * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
    }

    private void text(double x, double y, String anchor, String words) {
        add("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#333333\">%s</text>", x, y, anchor, words);
    }

    private void add(String format, Object... values) {
        svg.append(String.format(Locale.ROOT, format, values)).append('\n');
    }
}
