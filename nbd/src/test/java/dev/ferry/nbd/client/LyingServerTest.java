package dev.ferry.nbd.client;

import static dev.ferry.nbd.client.LyingServer.CONTEXT;
import static dev.ferry.nbd.client.LyingServer.SIZE_BYTES;
import static dev.ferry.nbd.client.LyingServer.chunk;
import static dev.ferry.nbd.client.LyingServer.data;
import static dev.ferry.nbd.client.LyingServer.error;
import static dev.ferry.nbd.client.LyingServer.handshake;
import static dev.ferry.nbd.client.LyingServer.hole;
import static dev.ferry.nbd.client.LyingServer.joined;
import static dev.ferry.nbd.client.LyingServer.simple;
import static dev.ferry.nbd.client.LyingServer.status;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.LyingServer.Asked;
import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A client trusts nothing of what a server says, and a connection that ends at whatever byte hurts nobody. */
@Timeout(120)
class LyingServerTest {
    private static final int OFFSET = 8192;
    private static final int LENGTH = 4096;
    private static EventLoops loops;
    private static EventLoop loop;

    @TempDir
    Path folder;

    private final IoBuffer buffer = IoBuffer.allocate(64 << 10);

    @BeforeAll
    static void start() {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        loop = loops.next();
    }

    @AfterAll
    static void stop() {
        loops.close();
    }

    private NbdClientDevice open(Path socket) throws BlockException {
        return NbdClientDevice.open(loop, new NbdUri.Unix(socket, "disk"), new ClientSettings(Duration.ofSeconds(20)));
    }

    /** What a read of 4096 bytes at 8192 comes to when it is answered so. */
    private @Nullable BlockError read(boolean structured, Function<Asked, byte[]> answer) throws Exception {
        Path socket = folder.resolve("s" + System.nanoTime());
        try (LyingServer _ = new LyingServer(socket, handshake(structured), answer)) {
            NbdClientDevice device = open(socket);
            BlockError error = OnLoop.await(new ReactorLoop(loop), end -> device.read(OFFSET, buffer, 0, LENGTH, end));
            OnLoop.await(new ReactorLoop(loop), device::close);
            return error;
        }
    }

    private void caught(boolean structured, Function<Asked, byte[]> answer, String why) throws Exception {
        BlockError error = Objects.requireNonNull(read(structured, answer), "the lie was believed");
        assertThat(error.kind()).isEqualTo(ErrorKind.UNAVAILABLE);
        assertThat(error.message()).contains(why);
    }

    @Test
    void anHonestServerIsBelieved() throws Exception {
        assertThat(read(false, asked -> simple(asked.cookie(), 0, LENGTH))).isNull();
        assertThat(read(true, asked -> data(true, asked.cookie(), OFFSET, LENGTH, 5)))
                .isNull();
        assertThat(buffer.segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, LENGTH - 1))
                .isEqualTo((byte) 5);
    }

    @Test
    void chunksMayComeInAnyOrder() throws Exception {
        buffer.segment().fill((byte) 9);
        assertThat(read(
                        true,
                        asked -> joined(
                                data(false, asked.cookie(), OFFSET + 3072, 1024, 3),
                                hole(false, asked.cookie(), OFFSET, 2048),
                                data(false, asked.cookie(), OFFSET + 2048, 1024, 2),
                                chunk(true, Nbd.CHUNK_NONE, asked.cookie(), new byte[0]))))
                .isNull();
        byte[] read = new byte[LENGTH];
        buffer.copyTo(0, read, 0, LENGTH);
        byte[] expected = new byte[LENGTH];
        Arrays.fill(expected, 2048, 3072, (byte) 2);
        Arrays.fill(expected, 3072, LENGTH, (byte) 3);
        assertThat(read).isEqualTo(expected);
    }

    @Test
    void anErrorOfTheServerIsTheRequestsError() throws Exception {
        BlockError plain = Objects.requireNonNull(read(false, asked -> simple(asked.cookie(), Nbd.EIO, 0)));
        assertThat(plain.kind()).isEqualTo(ErrorKind.IO);
        BlockError worded =
                Objects.requireNonNull(read(true, asked -> error(true, asked.cookie(), Nbd.ENOSPC, 4, "full")));
        assertThat(worded.kind()).isEqualTo(ErrorKind.NO_SPACE);
        assertThat(worded.detail()).isEqualTo("full");
    }

    @Test
    void anErrorAfterDataStillFailsTheRead() throws Exception {
        BlockError error = read(
                true,
                asked -> joined(
                        data(false, asked.cookie(), OFFSET, LENGTH, 1),
                        error(false, asked.cookie(), Nbd.EIO, 0, ""),
                        chunk(true, Nbd.CHUNK_NONE, asked.cookie(), new byte[0])));
        assertThat(Objects.requireNonNull(error).kind()).isEqualTo(ErrorKind.IO);
    }

    @Test
    void repliesThatFitNoRequestEndTheConnection() throws Exception {
        caught(false, asked -> simple(asked.cookie() + 1, 0, LENGTH), "unknown cookie");
        caught(false, asked -> simple(-1, 0, LENGTH), "unknown cookie");
        caught(true, asked -> data(true, asked.cookie() ^ (1L << 40), OFFSET, LENGTH, 1), "unknown cookie");
        caught(false, asked -> data(true, asked.cookie(), OFFSET, LENGTH, 1), "not negotiated");
        caught(true, asked -> simple(asked.cookie(), 0, LENGTH), "structured one");
        caught(true, asked -> new byte[32], "magic");
        caught(true, asked -> status(asked.cookie(), CONTEXT, 4096, 0), "block status");
        caught(true, asked -> chunk(true, 77, asked.cookie(), new byte[0]), "type 77");
        caught(true, asked -> chunk(false, Nbd.CHUNK_NONE, asked.cookie(), new byte[0]), "last chunk");
    }

    @Test
    void dataThatWasNotAskedForEndsTheConnection() throws Exception {
        caught(true, asked -> data(true, asked.cookie(), OFFSET - 1, LENGTH, 1), "offset");
        caught(true, asked -> data(true, asked.cookie(), OFFSET + 1, LENGTH, 1), "offset");
        caught(true, asked -> data(true, asked.cookie(), -1, LENGTH, 1), "offset");
        caught(true, asked -> data(true, asked.cookie(), Long.MAX_VALUE, LENGTH, 1), "offset");
        caught(true, asked -> data(true, asked.cookie(), OFFSET, LENGTH + 1, 1), "length");
        caught(true, asked -> data(true, asked.cookie(), OFFSET, 0, 1), "length");
        caught(true, asked -> hole(true, asked.cookie(), OFFSET, -1), "offset");
        caught(true, asked -> hole(true, asked.cookie(), OFFSET, 0), "offset");
        caught(true, asked -> hole(true, asked.cookie(), OFFSET, LENGTH + 1), "offset");
    }

    @Test
    void dataThatIsThereTwiceOrNotAtAllEndsTheConnection() throws Exception {
        caught(true, asked -> data(true, asked.cookie(), OFFSET, LENGTH - 1, 1), "missing");
        caught(true, asked -> chunk(true, Nbd.CHUNK_NONE, asked.cookie(), new byte[0]), "missing");
        caught(
                true,
                asked -> joined(
                        data(false, asked.cookie(), OFFSET, 2048, 1),
                        data(true, asked.cookie(), OFFSET + 2047, 2048, 1)),
                "offset");
    }

    @Test
    void malformedErrorsEndTheConnection() throws Exception {
        caught(true, asked -> error(true, asked.cookie(), 0, 0, ""), "error");
        caught(true, asked -> error(true, asked.cookie(), Nbd.EIO, 100, "short"), "error");
        caught(true, asked -> chunk(true, Nbd.CHUNK_ERROR, asked.cookie(), new byte[5]), "error");
        caught(true, asked -> chunk(true, Nbd.CHUNK_ERROR, asked.cookie(), new byte[60_000]), "error");
    }

    @Test
    void extentsStayWithinWhatWasAsked() throws Exception {
        List<String> extents = new ArrayList<>();
        assertThat(described(extents, asked -> LyingServer.status(asked.cookie(), CONTEXT, 1000, 3, 900_000, 0)))
                .isNull();
        assertThat(extents).containsExactly("8192+1000=3", "9192+3096=0");
        for (int[] lie : new int[][] {{0, 0}, {4096, 0, 1, 0}, {-1, 3}}) {
            BlockError error = Objects.requireNonNull(
                    described(extents, asked -> LyingServer.status(asked.cookie(), CONTEXT, lie)));
            assertThat(error.kind()).isEqualTo(ErrorKind.UNAVAILABLE);
        }
        BlockError other = described(extents, asked -> LyingServer.status(asked.cookie(), CONTEXT + 1, 4096, 0));
        assertThat(Objects.requireNonNull(other).message()).contains("another context");
    }

    private @Nullable BlockError described(List<String> extents, Function<Asked, byte[]> answer) throws Exception {
        Path socket = folder.resolve("s" + System.nanoTime());
        try (LyingServer _ = new LyingServer(socket, handshake(true), answer)) {
            NbdClientDevice device = open(socket);
            BlockError error = OnLoop.await(
                    new ReactorLoop(loop),
                    end -> device.extents(
                            OFFSET, LENGTH, (at, length, state) -> extents.add(at + "+" + length + "=" + state), end));
            OnLoop.await(new ReactorLoop(loop), device::close);
            return error;
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aReplyThatBreaksOffAtAnyByteFailsTheRead(boolean structured) throws Exception {
        int bytes = structured ? 28 + LENGTH : 16 + LENGTH;
        for (int cut = 0; cut < bytes; cut += cut < 40 ? 1 : 997) {
            int kept = cut;
            Path socket = folder.resolve("s" + System.nanoTime());
            try (LyingServer _ = new LyingServer(socket, handshake(structured), asked -> {
                if (asked.type() != Nbd.CMD_READ || asked.offset() != OFFSET) {
                    return new byte[0];
                }
                byte[] whole =
                        structured ? data(true, asked.cookie(), OFFSET, LENGTH, 1) : simple(asked.cookie(), 0, LENGTH);
                return Arrays.copyOf(whole, kept);
            })) {
                NbdClientDevice device = open(socket);
                BlockError[] errors = new BlockError[2];
                // The second read makes the server hang up, in the middle of its answer to the first.
                OnLoop.await(new ReactorLoop(loop), end -> {
                    device.read(OFFSET, buffer, 0, LENGTH, error -> errors[0] = error);
                    device.read(0, buffer, LENGTH, LENGTH, error -> {
                        errors[1] = error;
                        end.complete(null);
                    });
                });
                assertThat(Objects.requireNonNull(errors[0]).kind()).isEqualTo(ErrorKind.UNAVAILABLE);
                assertThat(Objects.requireNonNull(errors[1]).kind()).isEqualTo(ErrorKind.UNAVAILABLE);
                BlockError later = OnLoop.await(new ReactorLoop(loop), end -> device.read(0, buffer, 0, LENGTH, end));
                assertThat(Objects.requireNonNull(later).kind()).isEqualTo(ErrorKind.UNAVAILABLE);
                OnLoop.await(new ReactorLoop(loop), device::close);
            }
        }
    }

    private void refused(byte[] handshake, ErrorKind kind, String why) throws Exception {
        Path socket = folder.resolve("s" + System.nanoTime());
        try (LyingServer _ = new LyingServer(socket, handshake, asked -> new byte[0])) {
            assertThatThrownBy(() -> open(socket))
                    .isInstanceOfSatisfying(
                            BlockException.class, e -> assertThat(e.kind()).isEqualTo(kind))
                    .hasMessageContaining(why);
        }
    }

    @Test
    void anExportThatCannotBeIsRefused() throws Exception {
        refused(handshake(true, Long.MIN_VALUE, 1, 4096, 1 << 25), ErrorKind.CORRUPT, "larger than 2^63-1");
        refused(handshake(true, SIZE_BYTES, 3, 4096, 1 << 25), ErrorKind.CORRUPT, "block sizes");
        refused(handshake(true, SIZE_BYTES, 1 << 17, 1 << 17, 1 << 25), ErrorKind.CORRUPT, "block sizes");
        refused(handshake(true, SIZE_BYTES, 4096, 512, 1 << 25), ErrorKind.CORRUPT, "block sizes");
        refused(handshake(true, SIZE_BYTES, 4096, 4096, 512), ErrorKind.CORRUPT, "block sizes");
        refused(handshake(true, SIZE_BYTES + 512, 4096, 4096, 1 << 25), ErrorKind.CORRUPT, "not a multiple");
    }

    @Test
    void whatIsNoServerOfOursIsNamed() throws Exception {
        refused(
                "SSH-2.0-OpenSSH_9.2p1 Debian\r\n".getBytes(java.nio.charset.StandardCharsets.US_ASCII),
                ErrorKind.CORRUPT,
                "not an NBD server");
        byte[] old = ByteBuffer.allocate(152)
                .putLong(Nbd.GREETING_MAGIC)
                .putLong(Nbd.OLDSTYLE_MAGIC)
                .array();
        refused(old, ErrorKind.UNSUPPORTED, "oldstyle");
    }

    @Test
    void aServerThatSaysNothingIsGivenUp() throws Exception {
        Path socket = folder.resolve("silent");
        try (LyingServer _ = new LyingServer(socket, new byte[0], asked -> new byte[0])) {
            ClientSettings hasty = new ClientSettings(Duration.ofMillis(200));
            assertThatThrownBy(() -> NbdClientDevice.open(loop, new NbdUri.Unix(socket, ""), hasty))
                    .isInstanceOfSatisfying(
                            BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.TIMED_OUT));
        }
    }

    /** Feeds a handshake straight to the machine, as it would come in pieces, with the end behind it. */
    private static String fate(byte[] bytes, int pieceBytes) {
        ClientHandshake machine = new ClientHandshake(ClientHandshake.Purpose.USE, "disk");
        ByteBuffer input = ByteBuffer.allocate(ClientHandshake.inputBytes()).limit(0);
        int fed = 0;
        while (true) {
            ClientHandshake.Outcome outcome = machine.step(input);
            boolean waits = machine.output().isEmpty();
            machine.output().take();
            if (outcome != ClientHandshake.Outcome.CONTINUE) {
                return outcome.name();
            }
            if (waits) {
                if (fed == bytes.length) {
                    return "END";
                }
                input.compact();
                int piece = Math.min(pieceBytes, Math.min(bytes.length - fed, input.remaining()));
                input.put(bytes, fed, piece).flip();
                fed += piece;
            }
        }
    }

    @Test
    void aHandshakeThatBreaksOffAtAnyByteIsNeverASuccess() {
        for (boolean structured : new boolean[] {false, true}) {
            byte[] whole = handshake(structured);
            assertThat(fate(whole, 1)).isEqualTo("TRANSMISSION");
            for (int cut = 0; cut < whole.length; cut++) {
                assertThat(fate(Arrays.copyOf(whole, cut), 7))
                        .as("cut at %d", cut)
                        .isEqualTo("END");
            }
        }
    }

    @Test
    void aBrokenOffHandshakeIsOneClearLine() throws Exception {
        byte[] whole = handshake(true);
        for (int cut = 1; cut < whole.length; cut += 23) {
            Path socket = folder.resolve("s" + System.nanoTime());
            byte[] kept = Arrays.copyOf(whole, cut);
            LyingServer server = new LyingServer(socket, kept, asked -> new byte[0]);
            ClientSettings hasty = new ClientSettings(Duration.ofMillis(100));
            assertThatThrownBy(() -> NbdClientDevice.open(loop, new NbdUri.Unix(socket, "disk"), hasty))
                    .isInstanceOf(BlockException.class)
                    .message()
                    .doesNotContain("\n");
            server.close();
        }
    }

    @Test
    void mutatedHandshakesEndInSomeWay() {
        Seeds.run(2000, seed -> {
            Random random = new Random(seed);
            byte[] bytes = handshake(random.nextBoolean());
            int changes = 1 + random.nextInt(4);
            for (int i = 0; i < changes; i++) {
                int at = random.nextInt(bytes.length);
                bytes[at] = switch (random.nextInt(4)) {
                    case 0 -> (byte) 0xff;
                    case 1 -> 0;
                    case 2 -> (byte) (bytes[at] ^ (1 << random.nextInt(8)));
                    default -> (byte) random.nextInt(256);
                };
            }
            assertThat(fate(bytes, 1 + random.nextInt(64))).isIn("TRANSMISSION", "FAILED", "END");
        });
    }
}
