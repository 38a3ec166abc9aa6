package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A server with TLS, by certificates or by keys, whom it lets in and whom it does not. */
@Timeout(120)
abstract class TlsRig {
    private static final long GONE_NANOS_MAX = TimeUnit.SECONDS.toNanos(60);

    @TempDir
    Path folder;

    @SuppressWarnings("NullAway.Init") // by serve, which most tests begin with
    Served served;

    @AfterEach
    void stopServing() throws IOException {
        if (served != null) {
            served.close();
        }
    }

    /** Serves an empty {@code disk}. */
    final void serve(EventLoops.Kind kind, ServerSettings settings, ServerTls tls, int diskBytes) throws Exception {
        served = new Served(kind, settings, tls);
        served.serve("disk", new MemoryDisk(diskBytes));
    }

    final void expectOpens(NbdUri uri) throws BlockException {
        BlockDevice device = NbdClientDevice.open(served.clientLoop, uri, ClientSettings.DEFAULT);
        assertThat(OnLoop.await(served.clients(), device::flush)).isNull();
        assertThat(OnLoop.await(served.clients(), device::close)).isNull();
    }

    final BlockException refusal(NbdUri uri) {
        return refusal(uri, ClientSettings.DEFAULT);
    }

    /** Opening fails, in one line that has nothing of a key in it. */
    final BlockException refusal(NbdUri uri, ClientSettings settings) {
        BlockException refused = catchThrowableOfType(
                BlockException.class, () -> NbdClientDevice.open(served.clientLoop, uri, settings));
        assertThat(refused).as("the connection is refused").isNotNull();
        assertThat(refused.error().message())
                .doesNotContain("\n")
                .doesNotContain("aabbccdd")
                .doesNotContain("null")
                .doesNotEndWith(": ");
        return refused;
    }

    /** Waits until the server has no connection any more. */
    final void awaitNobody() throws InterruptedException {
        long deadline = System.nanoTime() + GONE_NANOS_MAX;
        while (served.server.connections() > 0) {
            assertThat(System.nanoTime() - deadline).as("connections stay").isNegative();
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }
}
