package dev.ferry.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.DataInputStream;
import java.io.IOException;
import java.net.Socket;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A link of packets delivers everything, and not too soon; and leaves nothing behind. */
@Timeout(120)
class TunLinkTest {
    private static final long ROUND_TRIP_NANOS = TimeUnit.MILLISECONDS.toNanos(40);
    private static final long BYTES_PER_SECOND = 20_000_000;
    private static final int SILENCE_MILLIS_MAX = 60_000;
    private static final int PORT = 7007;
    private static final Executor OWN_THREAD =
            task -> Thread.ofPlatform().daemon().start(task);

    @TempDir
    private Path folder = Path.of("");

    @Test
    void whatIsSentArrivesWholeAndNotBeforeTheLinkCouldHaveBroughtIt() throws Exception {
        // A right, and not a program that could be missing: the proxy stands in for it where it is not given.
        Assumptions.assumeTrue(TunLink.possible(), "this test needs root and /dev/net/tun");
        byte[] data = new byte[2_000_000];
        new Random(1).nextBytes(data);
        String device;
        try (TunLink link = new TunLink(folder, BYTES_PER_SECOND, ROUND_TRIP_NANOS);
                ServerProcess server = echo(link);
                Socket client = new Socket(link.farAddress(), server.port())) {
            device = link.deviceName();
            assertThat(Path.of("/sys/class/net", device)).exists();
            client.setTcpNoDelay(true);
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
            assertThat(link.toClient().share()).isPositive().isLessThan(1.01);
            sent.get(60, TimeUnit.SECONDS);
        }
        assertThat(Path.of("/sys/class/net", device)).doesNotExist();
    }

    private ServerProcess echo(TunLink link) {
        List<String> command = link.beyond(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                EchoServer.class.getName(),
                link.farAddress(),
                Integer.toString(PORT));
        return ServerProcess.onAddress(command, link.farAddress(), PORT, folder.resolve("echo.log"));
    }

    private static void send(Socket to, byte[] data) {
        try {
            to.getOutputStream().write(data);
        } catch (IOException lost) {
            throw new AssertionError(lost);
        }
    }

    @Test
    void aLinkThatNobodyUsedLeavesNothingBehind() {
        Assumptions.assumeTrue(TunLink.possible(), "this test needs root and /dev/net/tun");
        TunLink link = new TunLink(folder, BYTES_PER_SECOND, ROUND_TRIP_NANOS);
        Path device = Path.of("/sys/class/net", link.deviceName());
        assertThat(device).exists();
        link.close();
        assertThat(device).doesNotExist();
    }
}
