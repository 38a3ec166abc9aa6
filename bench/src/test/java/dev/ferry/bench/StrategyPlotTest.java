package dev.ferry.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.NodeList;

/** What the strategies cost, in figures and in bars. */
class StrategyPlotTest {
    private static StrategySample sample(String load, String strategy, double seconds, double during) {
        return new StrategySample(load, strategy, "done", seconds, 50, 1000, during, 100, 200, 64 << 20);
    }

    @Test
    void whatIsLostIsTheDowntimeAndWhatWasNotDone() {
        assertThat(sample("random", "mirror", 10, 800).lostSeconds()).isCloseTo(0.05 + 2, within(1e-9));
        assertThat(sample("random", "mirror", 10, 1200).lostSeconds()).isCloseTo(0.05, within(1e-9));
    }

    @Test
    void thePlotHasABarForEachFigureThatIsAsHighAsItIs() throws Exception {
        List<StrategySample> samples = List.of(
                sample("random", "mirror", 10, 900),
                sample("random", "tracking", 5, 900),
                sample("hot spot", "mirror", 2, 900),
                sample("hot spot", "tracking", 1, 900));
        String svg = new StrategyPlot(samples).svg();
        Document document = DocumentBuilderFactory.newInstance()
                .newDocumentBuilder()
                .parse(new ByteArrayInputStream(svg.getBytes(StandardCharsets.UTF_8)));
        NodeList titles = document.getElementsByTagName("title");
        assertThat(titles.getLength()).as("four panels of four bars").isEqualTo(16);
        assertThat(height(titles, 0)).isCloseTo(2 * height(titles, 1), within(0.2));
        assertThat(height(titles, 1)).isCloseTo(5 * height(titles, 3), within(0.2));
        assertThat(svg).contains("guest held at the switch, ms", "hot spot");
    }

    private static double height(NodeList titles, int index) {
        return Double.parseDouble(((Element) titles.item(index).getParentNode()).getAttribute("height"));
    }

    @ParameterizedTest
    @CsvSource({"8, 2", "1000, 500", "0.3, 0.1", "37, 10"})
    void anAxisHasRoundNumbers(double most, double step) {
        assertThat(StrategyPlot.step(most)).isCloseTo(step, within(1e-9));
    }
}
