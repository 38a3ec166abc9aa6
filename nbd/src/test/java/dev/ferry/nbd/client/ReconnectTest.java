package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.FakeServer.Peer;
import dev.ferry.nbd.client.FakeServer.Request;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** A connection is lost: what was answered is not sent again, what was not is, and everything has a bound. */
class ReconnectTest extends HostileRig {
    private static final ClientSettings PATIENT = ClientSettings.DEFAULT.withReconnectMax(Duration.ofSeconds(30));

    /** Takes a request, and is gone. */
    private static final Script DIES = client -> {
        client.welcome(true);
        take(client, 1);
        client.channel().close();
    };

    /** Takes a request, and says nothing. */
    private static final Script MUTE = client -> {
        client.welcome(true);
        take(client, 1);
    };

    /** Answers a request. */
    private static final Script GOOD = client -> {
        client.welcome(true);
        answer(client, take(client, 1));
    };

    /** What an export says of itself that may be used over several connections at once. */
    private static final Bytes SHARED =
            FakeServer.export(FakeServer.SIZE_BYTES, FakeServer.FLAGS | Nbd.FLAG_CAN_MULTI_CONN);

    private final IoBuffer buffer = IoBuffer.allocate(1 << 16);

    private static NbdClientDevice open(FakeServer server, ClientSettings settings) throws Exception {
        return NbdClientDevice.open(loop, server.uri(), settings);
    }

    private CompletableFuture<Optional<BlockError>> write(NbdClientDevice device, int block) {
        return submit(end -> device.write(block * 4096L, buffer, block * 4096, 4096, 0, end));
    }

    /** Writes this many blocks from the first on. */
    private List<CompletableFuture<Optional<BlockError>>> writes(NbdClientDevice device, int count) {
        return IntStream.range(0, count).mapToObj(block -> write(device, block)).toList();
    }

    private CompletableFuture<Optional<BlockError>> read(NbdClientDevice device, int block) {
        return submit(end -> device.read(block * 4096L, buffer, block * 4096, 4096, end));
    }

    private static List<Long> blocks(List<Request> requests) {
        return requests.stream()
                .map(request -> request.offset() / 4096)
                .sorted()
                .toList();
    }

    private static List<Request> take(Peer client, int count) throws IOException {
        List<Request> taken = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            taken.add(client.request());
        }
        return taken;
    }

    private static void answer(Peer client, List<Request> requests) throws IOException {
        for (Request request : requests) {
            client.send(Bytes.empty().simpleReply(0, request.cookie()));
        }
    }

    private static void assertWritten(List<CompletableFuture<Optional<BlockError>>> ends) {
        ends.forEach(end -> assertThat(join(end)).isEmpty());
    }

    private static void assertFailed(CompletableFuture<Optional<BlockError>> end, ErrorKind kind) {
        assertThat(join(end))
                .hasValueSatisfying(error -> assertThat(error.kind()).isEqualTo(kind));
    }

    /** Welcomes a client to an export that is shared, and writes down that it came. */
    private static Script greets(List<Peer> peers) {
        return client -> {
            peers.add(client);
            client.welcome(true, SHARED);
        };
    }

    @Test
    void whatWasAnsweredIsNotSentAgainAndWhatWasNotIs() throws Exception {
        List<Long> again = Collections.synchronizedList(new ArrayList<>());
        CompletableFuture<Void> answersRead = new CompletableFuture<>();
        Script first = client -> {
            client.welcome(true);
            List<Request> all = take(client, 5);
            answer(client, List.of(all.get(1), all.get(3)));
            answersRead.join();
            client.channel().close();
        };
        Script second = client -> {
            client.welcome(true);
            List<Request> rest = take(client, 3);
            again.addAll(blocks(rest));
            answer(client, rest);
            // Nothing else comes but this.
            List<Request> last = take(client, 1);
            assertThat(last.getFirst().type()).isEqualTo(Nbd.CMD_FLUSH);
            answer(client, last);
        };
        try (FakeServer server = new FakeServer(first, second)) {
            NbdClientDevice device = open(server, PATIENT);
            List<CompletableFuture<Optional<BlockError>>> ends = writes(device, 5);
            assertThat(join(ends.get(1))).isEmpty();
            assertThat(join(ends.get(3))).isEmpty();
            answersRead.complete(null);
            assertWritten(ends);
            assertThat(again).containsExactly(0L, 2L, 4L);
            assertThat(join(submit(device::flush))).isEmpty();
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void aReadThatHadHalfComeIsReadAgainWhole() throws Exception {
        Script first = client -> {
            client.welcome(true);
            Request read = client.request();
            client.send(part(
                    read,
                    Nbd.CHUNK_OFFSET_DATA,
                    Bytes.empty().u64(read.offset()).raw(bytes(1024, 1))));
            client.send(part(read, Nbd.CHUNK_ERROR, Bytes.empty().u32(Nbd.EIO).u16(0)));
            client.channel().close();
        };
        Script second = client -> {
            client.welcome(true);
            Request read = client.request();
            client.send(chunk(
                    read,
                    Nbd.CHUNK_OFFSET_DATA,
                    Bytes.empty().u64(read.offset()).raw(bytes(4096, 2))));
        };
        try (FakeServer server = new FakeServer(first, second)) {
            NbdClientDevice device = open(server, PATIENT);
            assertThat(join(read(device, 2)))
                    .as("the error was of the first attempt")
                    .isEmpty();
            byte[] got = new byte[4096];
            buffer.copyTo(2 * 4096, got, 0, 4096);
            assertThat(got).containsOnly(2);
            server.awaitScript();
            close(device);
        }
    }

    private static byte[] bytes(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    @Test
    void extentsThatHaveBeenToldAreNotToldAgain() throws Exception {
        Script first = client -> {
            client.welcome(true);
            Request status = client.request();
            byte[] two = Bytes.empty().u32(7).u32(4096).u32(3).u32(4096).u32(0).done();
            client.send(Bytes.empty()
                    .u32(Nbd.STRUCTURED_REPLY_MAGIC)
                    .u16(1)
                    .u16(Nbd.CHUNK_BLOCK_STATUS)
                    .u64(status.cookie())
                    .u32(two.length + 8)
                    .raw(two));
            client.channel().close();
        };
        try (FakeServer server = new FakeServer(first, client -> client.welcome(true))) {
            NbdClientDevice device = open(server, PATIENT);
            List<Long> told = Collections.synchronizedList(new ArrayList<>());
            assertThat(join(submit(end -> device.extents(0, 1 << 16, (at, length, state) -> told.add(at), end))))
                    .isEmpty();
            assertThat(told).containsExactly(0L, 4096L);
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void aRequestThatNobodyAnswersInTimeIsTriedElsewhere() throws Exception {
        ClientSettings hurried = PATIENT.withRequestMax(Duration.ofMillis(300));
        try (FakeServer server = new FakeServer(MUTE, GOOD)) {
            NbdClientDevice device = open(server, hurried);
            assertThat(join(write(device, 0))).isEmpty();
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void aRequestThatNobodyAnswersInTimeFailsWhereNothingElseIsAllowed() throws Exception {
        try (FakeServer server = new FakeServer(MUTE)) {
            NbdClientDevice device = open(server, ClientSettings.DEFAULT.withRequestMax(Duration.ofMillis(200)));
            assertFailed(write(device, 0), ErrorKind.TIMED_OUT);
            assertFailed(write(device, 1), ErrorKind.TIMED_OUT);
            close(device);
        }
    }

    @Test
    void aRequestThatKillsItsServersIsGivenUp() throws Exception {
        List<Script> scripts = new ArrayList<>(Collections.nCopies(8, DIES));
        scripts.add(GOOD);
        try (FakeServer server = new FakeServer(scripts.toArray(Script[]::new))) {
            NbdClientDevice device = open(server, PATIENT);
            assertFailed(write(device, 0), ErrorKind.UNAVAILABLE);
            assertThat(join(write(device, 1))).as("others go on").isEmpty();
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void aServerThatStaysAwayIsGivenUp() throws Exception {
        NbdClientDevice device;
        CompletableFuture<Optional<BlockError>> waiting;
        CompletableFuture<Void> go = new CompletableFuture<>();
        Script leaves = client -> {
            client.welcome(true);
            take(client, 1);
            go.join();
            client.channel().close();
        };
        try (FakeServer server = new FakeServer(leaves)) {
            device = open(server, PATIENT.withReconnectMax(Duration.ofMillis(300)));
            waiting = write(device, 0);
        }
        go.complete(null);
        assertFailed(waiting, ErrorKind.UNAVAILABLE);
        assertFailed(write(device, 1), ErrorKind.UNAVAILABLE);
        close(device);
    }

    @Test
    void aDeviceThatIsClosedWhileItWaitsForItsServerDoesNotWait() throws Exception {
        NbdClientDevice device;
        CompletableFuture<Optional<BlockError>> waiting;
        try (FakeServer server = new FakeServer(DIES)) {
            device = open(server, PATIENT.withReconnectMax(Duration.ofHours(1)));
            waiting = write(device, 0);
            server.awaitScript();
        }
        close(device);
        assertThat(join(waiting)).isPresent();
    }

    @Test
    void anExportThatIsNotTheSameIsNotUsed() throws Exception {
        int flags = FakeServer.FLAGS;
        for (Bytes other : List.of(
                FakeServer.export(FakeServer.SIZE_BYTES * 2, flags),
                FakeServer.export(FakeServer.SIZE_BYTES, flags & ~Nbd.FLAG_SEND_FUA),
                FakeServer.export(FakeServer.SIZE_BYTES, flags | Nbd.FLAG_READ_ONLY))) {
            try (FakeServer server = new FakeServer(DIES, client -> client.welcome(true, other))) {
                NbdClientDevice device = open(server, PATIENT);
                assertFailed(write(device, 0), ErrorKind.CORRUPT);
                close(device);
            }
        }
    }

    // ---- several connections

    @Test
    void requestsAreSpreadOverConnectionsIfTheServerAllowsIt() throws Exception {
        List<Peer> peers = Collections.synchronizedList(new ArrayList<>());
        Script greets = greets(peers);
        Script greetsLast = client -> {
            greets.run(client);
            // All of them before the first answer: a connection that has been answered is free to get more.
            List<List<Request>> taken = new ArrayList<>();
            for (Peer peer : peers) {
                taken.add(take(peer, 2));
            }
            for (int i = 0; i < taken.size(); i++) {
                answer(peers.get(i), taken.get(i));
            }
        };
        try (FakeServer server = new FakeServer(greets, greets, greetsLast)) {
            NbdClientDevice device = open(server, ClientSettings.DEFAULT.withConnections(3));
            assertThat(device.connections()).isEqualTo(3);
            assertWritten(writes(device, 6));
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void aServerThatDoesNotPromiseItGetsOneConnection() throws Exception {
        try (FakeServer server = new FakeServer(client -> client.welcome(true))) {
            NbdClientDevice device = open(server, ClientSettings.DEFAULT.withConnections(8));
            assertThat(device.connections()).isEqualTo(1);
            close(device);
        }
    }

    @Test
    void whenOneOfSeveralConnectionsIsLostTheOthersTakeItsRequests() throws Exception {
        List<Peer> peers = Collections.synchronizedList(new ArrayList<>());
        Script greets = greets(peers);
        Script greetsLast = client -> {
            greets.run(client);
            List<Request> lost = take(peers.get(0), 2);
            List<Request> own = take(peers.get(1), 2);
            peers.get(0).channel().close();
            List<Request> taken = take(peers.get(1), 2);
            assertThat(blocks(taken)).isEqualTo(blocks(lost));
            answer(peers.get(1), own);
            answer(peers.get(1), taken);
        };
        try (FakeServer server = new FakeServer(greets, greetsLast, client -> client.welcome(true, SHARED))) {
            NbdClientDevice device = open(server, PATIENT.withConnections(2));
            assertWritten(writes(device, 4));
            server.awaitScript();
            close(device);
        }
    }
}
