package dev.ferry.server.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a client does about a daemon that goes away: daemons are played by the test, one connection after another. */
@Timeout(180)
final class DaemonClientTest {
    private static final Map<String, Integer> BODY = Map.of("number", 1);

    @TempDir
    Path directory;

    private DaemonClient client;

    @BeforeEach
    void makeClient() {
        client = clientWithPatience(Duration.ofSeconds(30));
    }

    @AfterEach
    void closeClient() {
        client.close();
    }

    private DaemonClient clientWithPatience(Duration patience) {
        return new DaemonClient(directory, rest(), List.of(kept()), patience);
    }

    private Path rest() {
        return directory.resolve("ferry.sock");
    }

    private Path kept() {
        return directory.resolve("nbd.sock");
    }

    private static ServerSocketChannel listen(Path socket) throws IOException {
        Files.deleteIfExists(socket);
        return ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket));
    }

    private CompletableFuture<String> ask(String method) {
        CompletableFuture<String> outcome = new CompletableFuture<>();
        Thread.ofVirtual().start(() -> {
            try {
                client.send(method, "/v1/thing", BODY);
                outcome.complete("done");
            } catch (ProblemException problem) {
                outcome.complete(problem.kind() + " " + problem.line());
            } catch (RuntimeException defect) {
                outcome.completeExceptionally(defect);
            }
        });
        return outcome;
    }

    private static String outcome(CompletableFuture<String> outcome) throws Exception {
        return outcome.get(40, TimeUnit.SECONDS);
    }

    /** Reads one request to its end and gives its first line. */
    private static String read(SocketChannel connection) throws IOException {
        StringBuilder text = new StringBuilder();
        ByteBuffer buffer = ByteBuffer.allocate(4096);
        while (!text.toString().endsWith("}")) {
            assertThat(connection.read(buffer.clear())).isPositive();
            text.append(StandardCharsets.US_ASCII.decode(buffer.flip()));
        }
        return text.substring(0, text.indexOf(" HTTP"));
    }

    private static void answer(SocketChannel connection) throws IOException {
        byte[] head = "HTTP/1.1 204 No Content\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
        connection.write(ByteBuffer.wrap(head));
    }

    @Test
    void whatNobodyHasReadIsAskedAgainOfTheNextDaemon() throws Exception {
        try (ServerSocketChannel _ = listen(kept())) {
            CompletableFuture<String> outcome;
            try (ServerSocketChannel dying = listen(rest())) {
                outcome = ask("POST");
                dying.accept().close();
            }
            try (ServerSocketChannel next = listen(rest());
                    SocketChannel connection = next.accept()) {
                assertThat(read(connection)).isEqualTo("POST /v1/thing");
                answer(connection);
                assertThat(outcome(outcome)).isEqualTo("done");
            }
        }
    }

    @Test
    void whatWasNotEvenAcceptedIsAskedAgainOfTheNextDaemon() throws Exception {
        try (ServerSocketChannel _ = listen(kept())) {
            CompletableFuture<String> outcome = ask("POST");
            try (ServerSocketChannel dying = listen(rest())) {
                // A connection of the test's own, which comes before or after that of the client.
                SocketChannel.open(UnixDomainSocketAddress.of(rest())).close();
                dying.accept().close();
            }
            try (ServerSocketChannel next = listen(rest());
                    SocketChannel connection = next.accept()) {
                assertThat(read(connection)).isEqualTo("POST /v1/thing");
                answer(connection);
                assertThat(outcome(outcome)).isEqualTo("done");
            }
        }
    }

    @Test
    void aQuestionIsAskedAgainEvenIfItWasHeard() throws Exception {
        try (ServerSocketChannel _ = listen(kept());
                ServerSocketChannel daemon = listen(rest())) {
            CompletableFuture<String> outcome = ask("GET");
            try (SocketChannel first = daemon.accept()) {
                assertThat(read(first)).isEqualTo("GET /v1/thing");
            }
            try (SocketChannel second = daemon.accept()) {
                assertThat(read(second)).isEqualTo("GET /v1/thing");
                answer(second);
                assertThat(outcome(outcome)).isEqualTo("done");
            }
        }
    }

    @Test
    void anOrderThatWasHeardIsNotGivenTwice() throws Exception {
        try (ServerSocketChannel _ = listen(kept());
                ServerSocketChannel daemon = listen(rest())) {
            CompletableFuture<String> outcome = ask("POST");
            try (SocketChannel first = daemon.accept()) {
                assertThat(read(first)).isEqualTo("POST /v1/thing");
            }
            assertThat(outcome(outcome))
                    .startsWith(ProblemKind.UNAVAILABLE + " the ferry daemon at " + directory + " went away in the")
                    .endsWith("see its log, and try again");
            daemon.configureBlocking(false);
            assertThat(daemon.accept()).isNull();
        }
    }

    @Test
    void anOrderOnAConnectionThatIsGoneIsGivenOnAnother() throws Exception {
        try (ServerSocketChannel daemon = listen(rest())) {
            CompletableFuture<String> first = ask("POST");
            try (SocketChannel connection = daemon.accept()) {
                read(connection);
                answer(connection);
                assertThat(outcome(first)).isEqualTo("done");
            }
            // Nobody keeps anything here, but that the kept connection is gone says nothing of the daemon.
            CompletableFuture<String> second = ask("POST");
            try (SocketChannel connection = daemon.accept()) {
                read(connection);
                answer(connection);
                assertThat(outcome(second)).isEqualTo("done");
            }
        }
    }

    @Test
    void namesThatNobodyHoldsArePutAsideAtOnce() throws Exception {
        listen(kept()).close();
        listen(rest()).close();
        assertThat(kept()).exists();
        assertThat(outcome(ask("GET")))
                .isEqualTo(ProblemKind.UNAVAILABLE + " no ferry daemon at " + directory
                        + ": start one with 'ferry serve --data " + directory + "'");
    }

    @Test
    void patienceEnds() throws IOException {
        try (ServerSocketChannel _ = listen(kept());
                DaemonClient impatient = clientWithPatience(Duration.ofMillis(50))) {
            assertThatExceptionOfType(ProblemException.class)
                    .isThrownBy(() -> impatient.send("GET", "/v1/thing", null))
                    .satisfies(problem ->
                            assertThat(problem.line()).contains("has not answered for 0 s", "is being started"));
        }
    }

    @Test
    void theDirectoryMayBeKnownByAnotherPath() throws IOException {
        Path link = Files.createSymbolicLink(directory.resolve("link"), directory);
        try (ServerSocketChannel _ = listen(kept())) {
            assertThat(SocketTable.holdsAny(List.of(link.resolve("nbd.sock")))).isTrue();
            assertThat(SocketTable.holdsAny(List.of(link.resolve("other.sock"))))
                    .isFalse();
        }
        assertThat(SocketTable.holdsAny(List.of(link.resolve("nbd.sock")))).isFalse();
    }
}
