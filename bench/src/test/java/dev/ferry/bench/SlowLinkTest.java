package dev.ferry.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A link that is long and narrow delivers everything, and not too soon. */
@Timeout(60)
class SlowLinkTest {
    private static final long ROUND_TRIP_NANOS = TimeUnit.MILLISECONDS.toNanos(40);
    private static final long BYTES_PER_SECOND = 20_000_000;
    private static final int SILENCE_MILLIS_MAX = 30_000;

    /** The common pool has one thread on a small machine, and both ends need one. */
    private static final Executor OWN_THREAD =
            task -> Thread.ofPlatform().daemon().start(task);

    @Test
    void whatIsSentArrivesWholeAndNotBeforeTheLinkCouldHaveBroughtIt() throws Exception {
        byte[] data = new byte[2_000_000];
        new Random(1).nextBytes(data);
        try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
                SlowLink link = new SlowLink(listener.getLocalPort(), BYTES_PER_SECOND, ROUND_TRIP_NANOS);
                Socket client = new Socket(InetAddress.getLoopbackAddress(), link.port())) {
            CompletableFuture<Void> echoed = CompletableFuture.runAsync(() -> echo(listener), OWN_THREAD);
            client.setSoTimeout(SILENCE_MILLIS_MAX);
            DataInputStream answers = new DataInputStream(client.getInputStream());

            long begun = System.nanoTime();
            client.getOutputStream().write(7);
            assertThat(answers.readByte()).isEqualTo((byte) 7);
            assertThat(System.nanoTime() - begun).as("a round trip").isGreaterThanOrEqualTo(ROUND_TRIP_NANOS);

            byte[] back = new byte[data.length];
            begun = System.nanoTime();
            CompletableFuture<Void> sent = CompletableFuture.runAsync(() -> send(client, data), OWN_THREAD);
            answers.readFully(back);
            assertThat(back).isEqualTo(data);
            long leastNanos = data.length * 1_000_000_000L / BYTES_PER_SECOND;
            assertThat(System.nanoTime() - begun).as("all of it at the rate").isGreaterThanOrEqualTo(leastNanos);
            assertThat(link.toServer().share()).isPositive().isLessThan(1.01);
            sent.get(30, TimeUnit.SECONDS);

            client.shutdownOutput();
            assertThat(answers.read()).as("the end goes through as well").isEqualTo(-1);
            echoed.get(30, TimeUnit.SECONDS);
            link.toServer().mark();
            assertThat(link.toServer().share()).isZero();
        }
    }

    private static void echo(ServerSocket listener) {
        try (Socket server = listener.accept()) {
            server.getInputStream().transferTo(server.getOutputStream());
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    private static void send(Socket client, byte[] data) {
        try {
            OutputStream out = client.getOutputStream();
            out.write(data);
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }
}
