package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.server.DataDirectory;
import dev.ferry.server.api.DaemonView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.client.DaemonClient;
import java.io.IOException;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** A daemon is replaced by another, and the guests wait for the hand-over only; other outages are {@link OutageTest}'s. */
@Tag("alone")
@Timeout(180)
final class PlannedRestartTest {
    /** Far above what is measured, so that a busy machine is no failure; the figure itself is in the README. */
    private static final double OUTAGE_MILLIS_MAX = 2000;

    @Test
    void aPlannedRestartIsShortAndTellsHowShort() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = OutageTest.disk(host);
            long before = host.daemonPid();
            JsonNode now = host.run("restart", "--json").done().json();
            assertThat(now.path("pid").asLong()).isNotEqualTo(before);
            assertThat(now.path("outageMillis").asDouble()).isPositive().isLessThan(OUTAGE_MILLIS_MAX);
            OutageTest.assertHolds(host, uri, OutageTest.image(host, 1));
        }
    }

    @Test
    void aHangUpOfTheSupervisorIsAPlannedRestart() throws IOException {
        try (FerryHost host = FerryHost.started()) {
            String uri = OutageTest.disk(host);
            long before = host.daemonPid();
            host.hangUp();
            FerryHost.until(() -> daemon(host).pid() != before);
            assertThat(daemon(host).outageMillis()).isPositive().isLessThan(OUTAGE_MILLIS_MAX);
            OutageTest.assertHolds(host, uri, OutageTest.image(host, 1));
        }
    }

    private static DaemonView daemon(FerryHost host) {
        try (DaemonClient client = DataDirectory.of(host.data).client()) {
            return client.get("/v1/daemon", DaemonView.class);
        } catch (ProblemException refused) {
            throw new AssertionError(refused);
        }
    }
}
