package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Servers that lie, stall or leave before a client is in: it is told why, and nothing hangs. */
class HostileHandshakeTest extends HostileRig {
    private static Arguments handshake(String what, ErrorKind kind, Bytes words) {
        return Arguments.of(Named.of(what, words.done()), kind);
    }

    private static Bytes greeted() {
        return Bytes.empty().greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    /** The first question is answered as most servers do. */
    private static Bytes notExtended() {
        return greeted().optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ERR_UNSUP);
    }

    /** Everything up to the question for the export is answered well. */
    private static Bytes asked() {
        return notExtended()
                .optionReply(Nbd.OPT_STRUCTURED_REPLY, Nbd.REP_ACK)
                .raw(FakeServer.goodContext().done());
    }

    private static Bytes export(byte[]... infos) {
        Bytes words = asked();
        for (byte[] info : infos) {
            words.optionReply(Nbd.OPT_GO, Nbd.REP_INFO, info);
        }
        return words.optionReply(Nbd.OPT_GO, Nbd.REP_ACK);
    }

    private static byte[] sizes(long minimum, long preferred, long maximum) {
        return Bytes.empty()
                .u16(Nbd.INFO_BLOCK_SIZE)
                .u32(minimum)
                .u32(preferred)
                .u32(maximum)
                .done();
    }

    static List<Arguments> handshakes() {
        byte[] good = FakeServer.exportInfo(FakeServer.SIZE_BYTES);
        return List.of(
                handshake("no magic", ErrorKind.CORRUPT, Bytes.empty().zeroes(18)),
                handshake(
                        "no newstyle magic",
                        ErrorKind.CORRUPT,
                        Bytes.empty().u64(Nbd.GREETING_MAGIC).zeroes(10)),
                handshake(
                        "oldstyle",
                        ErrorKind.UNSUPPORTED,
                        Bytes.empty()
                                .u64(Nbd.GREETING_MAGIC)
                                .u64(Nbd.OLDSTYLE_MAGIC)
                                .zeroes(136)),
                handshake("no reply magic", ErrorKind.CORRUPT, greeted().zeroes(20)),
                handshake(
                        "an answer to another question",
                        ErrorKind.CORRUPT,
                        greeted().optionReply(Nbd.OPT_GO, Nbd.REP_ACK)),
                handshake(
                        "an answer of an unknown type",
                        ErrorKind.CORRUPT,
                        notExtended().optionReply(Nbd.OPT_STRUCTURED_REPLY, 999)),
                handshake(
                        "an answer of 4 GiB",
                        ErrorKind.CORRUPT,
                        notExtended()
                                .u64(Nbd.OPTION_REPLY_MAGIC)
                                .u32(Nbd.OPT_STRUCTURED_REPLY)
                                .u32(Nbd.REP_ACK)
                                .u32(0xffffffffL)),
                handshake(
                        "a context without a number",
                        ErrorKind.CORRUPT,
                        notExtended()
                                .optionReply(Nbd.OPT_STRUCTURED_REPLY, Nbd.REP_ACK)
                                .optionReply(Nbd.OPT_SET_META_CONTEXT, Nbd.REP_META_CONTEXT, new byte[3])),
                handshake("no size", ErrorKind.CORRUPT, export()),
                handshake("a short size", ErrorKind.CORRUPT, export(Arrays.copyOf(good, 9))),
                handshake("a size of 2^63", ErrorKind.CORRUPT, export(FakeServer.exportInfo(Long.MIN_VALUE))),
                handshake("a size of 2^64-1", ErrorKind.CORRUPT, export(FakeServer.exportInfo(-1))),
                handshake("blocks of 3", ErrorKind.CORRUPT, export(good, sizes(3, 4096, 1 << 20))),
                handshake("blocks of 2 GiB", ErrorKind.CORRUPT, export(good, sizes(1L << 31, 1L << 31, 1L << 31))),
                handshake(
                        "preferring less than is allowed", ErrorKind.CORRUPT, export(good, sizes(4096, 512, 1 << 20))),
                handshake("no payload at all", ErrorKind.CORRUPT, export(good, sizes(512, 4096, 0))),
                handshake(
                        "a size that is not in blocks",
                        ErrorKind.CORRUPT,
                        export(FakeServer.exportInfo(1000), sizes(512, 4096, 1 << 20))),
                handshake("no such export", ErrorKind.NOT_FOUND, asked().optionReply(Nbd.OPT_GO, Nbd.REP_ERR_UNKNOWN)),
                handshake(
                        "TLS wanted",
                        ErrorKind.UNSUPPORTED,
                        greeted().optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ERR_TLS_REQD)),
                handshake(
                        "shutting down", ErrorKind.UNAVAILABLE, asked().optionReply(Nbd.OPT_GO, Nbd.REP_ERR_SHUTDOWN)));
    }

    @ParameterizedTest
    @MethodSource("handshakes")
    void aBadHandshakeIsRefused(byte[] words, ErrorKind kind) throws Exception {
        try (FakeServer server = new FakeServer(client -> client.send(words))) {
            BlockException refused = catchThrowableOfType(BlockException.class, () -> open(server));
            assertThat(refused).isNotNull();
            assertThat(refused.error().kind()).isEqualTo(kind);
            assertThat(refused.error().message()).doesNotContain("\n");
        }
    }

    @Test
    void aRefusalThatIsNoTextIsMadeOne() throws Exception {
        byte[] rude = Bytes.empty().text("\u001b[2J\nroot#\0").u8(0xff).done();
        Bytes words = asked().optionReply(Nbd.OPT_GO, Nbd.REP_ERR_POLICY, rude);
        try (FakeServer server = new FakeServer(client -> client.send(words))) {
            BlockException refused = catchThrowableOfType(BlockException.class, () -> open(server));
            assertThat(refused.error().kind()).isEqualTo(ErrorKind.ACCESS);
            assertThat(refused.error().message().chars()).noneMatch(Character::isISOControl);
        }
    }

    @Test
    void aServerThatSaysNothingIsGivenUp() throws Exception {
        ClientSettings hurried = ClientSettings.DEFAULT.withOpenMax(Duration.ofMillis(200));
        for (byte[] words : List.of(new byte[0], new byte[] {'N'}, greeted().done())) {
            try (FakeServer server = new FakeServer(client -> client.send(words))) {
                BlockException refused = catchThrowableOfType(
                        BlockException.class, () -> NbdClientDevice.open(loop, server.uri(), hurried));
                assertThat(refused.error().kind()).isEqualTo(ErrorKind.TIMED_OUT);
            }
        }
    }

    @Test
    void aServerThatNeverComesToTheEndIsGivenUp() throws Exception {
        byte[] more = Bytes.empty()
                .optionReply(Nbd.OPT_GO, Nbd.REP_INFO, FakeServer.exportInfo(4096))
                .done();
        Script forEver = client -> {
            client.send(asked());
            while (true) {
                client.send(more);
            }
        };
        try (FakeServer server = new FakeServer(forEver)) {
            BlockException refused = catchThrowableOfType(BlockException.class, () -> open(server));
            assertThat(refused.error().kind()).isEqualTo(ErrorKind.CORRUPT);
        }
    }

    @Test
    void theServerLeavesAfterEveryByteOfTheHandshake() throws Exception {
        byte[] all = FakeServer.goodHandshake();
        for (int length = 0; length < all.length; length++) {
            byte[] some = Arrays.copyOf(all, length);
            try (FakeServer server = new FakeServer(client -> {
                client.send(some);
                client.channel().close();
            })) {
                BlockException refused = catchThrowableOfType(BlockException.class, () -> open(server));
                assertThat(refused).as("after %s bytes", length).isNotNull();
                assertThat(refused.error().kind()).isEqualTo(ErrorKind.UNAVAILABLE);
            }
        }
        try (FakeServer server = new FakeServer(client -> client.send(all))) {
            close(open(server));
        }
    }

    @Test
    void nothingThereIsUnavailable() throws IOException {
        NbdUri gone;
        try (FakeServer server = new FakeServer(client -> {})) {
            gone = server.uri();
        }
        BlockException refused = catchThrowableOfType(
                BlockException.class, () -> NbdClientDevice.open(loop, gone, ClientSettings.DEFAULT));
        assertThat(refused.error().kind()).isEqualTo(ErrorKind.UNAVAILABLE);
    }
}
