package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.FakeServer.Request;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Servers that lie, or leave: every request ends, with an error that says so, and nothing hangs. */
@Timeout(60)
class HostileServerTest {
    private static final int AT = 8192;
    private static final int LENGTH = 4096;

    private static EventLoops loops;
    private static EventLoop loop;

    @BeforeAll
    static void start() {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        loop = loops.next();
    }

    @AfterAll
    static void stop() {
        loops.close();
    }

    private static NbdClientDevice open(FakeServer server) throws BlockException {
        return NbdClientDevice.open(loop, server.uri(), ClientSettings.DEFAULT);
    }

    private static CompletableFuture<Optional<BlockError>> submit(Consumer<Completion> request) {
        CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
        loop.execute(() -> request.accept(error -> {
            if (!end.complete(Optional.ofNullable(error))) {
                throw new AssertionError("a request ended twice");
            }
        }));
        return end;
    }

    private static Optional<BlockError> join(CompletableFuture<Optional<BlockError>> end) {
        return end.orTimeout(10, TimeUnit.SECONDS).join();
    }

    private static void close(NbdClientDevice device) {
        assertThat(join(submit(device::close))).isEmpty();
    }

    private static void expectFailed(CompletableFuture<Optional<BlockError>> end) {
        assertThat(join(end))
                .hasValueSatisfying(error -> assertThat(error.kind()).isIn(ErrorKind.UNAVAILABLE, ErrorKind.CORRUPT));
    }

    // ---- handshake

    private static Arguments handshake(String what, ErrorKind kind, Bytes words) {
        return Arguments.of(Named.of(what, words.done()), kind);
    }

    private static Bytes greeted() {
        return Bytes.empty().greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    /** Everything up to the question for the export is answered well. */
    private static Bytes asked() {
        return greeted()
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
                        greeted().optionReply(Nbd.OPT_STRUCTURED_REPLY, 999)),
                handshake(
                        "an answer of 4 GiB",
                        ErrorKind.CORRUPT,
                        greeted()
                                .u64(Nbd.OPTION_REPLY_MAGIC)
                                .u32(Nbd.OPT_STRUCTURED_REPLY)
                                .u32(Nbd.REP_ACK)
                                .u32(0xffffffffL)),
                handshake(
                        "a context without a number",
                        ErrorKind.CORRUPT,
                        greeted()
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
                        greeted().optionReply(Nbd.OPT_STRUCTURED_REPLY, Nbd.REP_ERR_TLS_REQD)),
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
        ClientSettings hurried = new ClientSettings(Duration.ofMillis(200));
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

    // ---- transmission

    private static Arguments lie(String what, Function<Request, Bytes> words) {
        return Arguments.of(Named.of(what, words));
    }

    private static Bytes chunk(Request to, int type, Bytes payload) {
        return Bytes.empty().chunk(Nbd.REPLY_FLAG_DONE, type, to.cookie(), payload.done());
    }

    private static Bytes part(Request to, int type, Bytes payload) {
        return Bytes.empty().chunk(0, type, to.cookie(), payload.done());
    }

    private static Bytes data(Request to, long offset, int length) {
        return chunk(to, Nbd.CHUNK_OFFSET_DATA, Bytes.empty().u64(offset).zeroes(length));
    }

    private static Bytes hole(Request to, long offset, long length) {
        return chunk(to, Nbd.CHUNK_OFFSET_HOLE, Bytes.empty().u64(offset).u32(length));
    }

    private static Bytes error(Request to, int error, int textBytes, int payloadBytes) {
        return chunk(
                to, Nbd.CHUNK_ERROR, Bytes.empty().u32(error).u16(textBytes).zeroes(payloadBytes - 6));
    }

    static List<Arguments> liesAboutReads() {
        return List.of(
                lie("no magic", read -> Bytes.empty().zeroes(64)),
                lie("unknown cookie", read -> Bytes.empty().simpleReply(0, read.cookie() + 1)),
                lie("cookie of an old request", read -> Bytes.empty().simpleReply(0, read.cookie() + (1 << 20))),
                lie("negative cookie", read -> Bytes.empty().simpleReply(0, -1)),
                lie("unknown cookie of a chunk", read -> Bytes.empty().chunk(1, Nbd.CHUNK_NONE, -1)),
                lie(
                        "simple reply",
                        read -> Bytes.empty().simpleReply(0, read.cookie()).zeroes(LENGTH)),
                lie("data before", read -> data(read, AT - 1, LENGTH)),
                lie("data behind", read -> data(read, AT + 1, LENGTH)),
                lie("data far behind", read -> data(read, AT + LENGTH, 1)),
                lie("data at -1", read -> data(read, -1, 2)),
                lie("data near 2^63", read -> data(read, Long.MAX_VALUE, LENGTH)),
                lie("more data than asked for", read -> data(read, AT, LENGTH + 1)),
                lie("no data", read -> data(read, AT, 0)),
                lie(
                        "data without an offset",
                        read -> chunk(read, Nbd.CHUNK_OFFSET_DATA, Bytes.empty().zeroes(7))),
                lie(
                        "data of 4 GiB",
                        read -> Bytes.empty()
                                .u32(Nbd.STRUCTURED_REPLY_MAGIC)
                                .u16(1)
                                .u16(Nbd.CHUNK_OFFSET_DATA)
                                .u64(read.cookie())
                                .u32(0xffffffffL)
                                .u64(AT)),
                lie("less data than asked for", read -> data(read, AT, LENGTH - 1)),
                lie(
                        "the same data twice",
                        read -> part(
                                        read,
                                        Nbd.CHUNK_OFFSET_DATA,
                                        Bytes.empty().u64(AT).zeroes(100))
                                .raw(data(read, AT + 99, LENGTH - 99).done())),
                lie("success and no data", read -> chunk(read, Nbd.CHUNK_NONE, Bytes.empty())),
                lie("nothing, and not the last", read -> part(read, Nbd.CHUNK_NONE, Bytes.empty())),
                lie(
                        "nothing, with a payload",
                        read -> chunk(read, Nbd.CHUNK_NONE, Bytes.empty().u32(1))),
                lie("an empty hole", read -> hole(read, AT, 0)),
                lie("a hole before", read -> hole(read, AT - 1, LENGTH)),
                lie("a hole too long", read -> hole(read, AT, LENGTH + 1)),
                lie("a hole of 4 GiB", read -> hole(read, AT, 0xffffffffL)),
                lie(
                        "a hole of 13 bytes",
                        read -> chunk(read, Nbd.CHUNK_OFFSET_HOLE, Bytes.empty().zeroes(13))),
                lie(
                        "a chunk of an unknown type",
                        read -> chunk(read, 99, Bytes.empty().zeroes(8))),
                lie(
                        "a block status",
                        read -> chunk(
                                read, Nbd.CHUNK_BLOCK_STATUS, Bytes.empty().zeroes(12))),
                lie(
                        "an error of 5 bytes",
                        read -> chunk(read, Nbd.CHUNK_ERROR, Bytes.empty().zeroes(5))),
                lie("an error that is none", read -> error(read, 0, 0, 6)),
                lie("an error with too long a text", read -> error(read, Nbd.EIO, 1, 6)),
                lie("an error with a text of 64 KiB", read -> error(read, Nbd.EIO, 0xffff, 20)),
                lie("an error of 1 MiB", read -> error(read, Nbd.EIO, 0, 1 << 20)),
                lie(
                        "an error without its offset",
                        read -> chunk(
                                read,
                                Nbd.CHUNK_ERROR_OFFSET,
                                Bytes.empty().u32(Nbd.EIO).u16(0).u32(0))),
                lie(
                        "two replies",
                        read -> data(read, AT, LENGTH)
                                .raw(data(read, AT, LENGTH).done())));
    }

    /** A read and a write are in flight; the read is lied to. */
    @ParameterizedTest
    @MethodSource("liesAboutReads")
    void aLieAboutAReadEndsTheLink(Function<Request, Bytes> lie) throws Exception {
        Script script = client -> {
            client.welcome(true);
            Request read = client.request();
            client.request();
            client.send(lie.apply(read));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            IoBuffer guarded = IoBuffer.allocate(3 * LENGTH);
            guarded.segment().fill((byte) 0x5a);
            CompletableFuture<Optional<BlockError>> read = submit(end -> device.read(AT, guarded, LENGTH, LENGTH, end));
            CompletableFuture<Optional<BlockError>> write =
                    submit(end -> device.write(0, IoBuffer.allocate(LENGTH), 0, LENGTH, 0, end));
            expectFailed(write);
            assertThat(join(read)).as("success only where all has come").satisfies(error -> {
                if (error.isPresent()) {
                    assertThat(error.get().kind()).isIn(ErrorKind.UNAVAILABLE, ErrorKind.CORRUPT);
                }
            });
            for (int i = 0; i < LENGTH; i++) {
                assertThat(guarded.segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, i))
                        .isEqualTo((byte) 0x5a);
                assertThat(guarded.segment().get(java.lang.foreign.ValueLayout.JAVA_BYTE, 2L * LENGTH + i))
                        .isEqualTo((byte) 0x5a);
            }
            expectFailed(submit(device::flush));
            close(device);
        }
    }

    static List<Arguments> liesAboutStatus() {
        Function<int[], Function<Request, Bytes>> status = numbers -> request -> {
            Bytes payload = Bytes.empty();
            for (int number : numbers) {
                payload.u32(number);
            }
            return chunk(request, Nbd.CHUNK_BLOCK_STATUS, payload);
        };
        return List.of(
                lie("another context", status.apply(new int[] {8, LENGTH, 0})),
                lie("no extent", status.apply(new int[] {7})),
                lie("half an extent", status.apply(new int[] {7, LENGTH})),
                lie("an empty extent", status.apply(new int[] {7, 0, 0})),
                lie("an extent too many", status.apply(new int[] {7, LENGTH, 0, LENGTH, 3})),
                lie("an extent past the end of the disk", status.apply(new int[] {7, -1, 0})),
                lie("success and no status", request -> chunk(request, Nbd.CHUNK_NONE, Bytes.empty())),
                lie("simple reply", request -> Bytes.empty().simpleReply(0, request.cookie())),
                lie("data", request -> data(request, AT, LENGTH)),
                lie(
                        "the context twice",
                        request -> part(
                                        request,
                                        Nbd.CHUNK_BLOCK_STATUS,
                                        Bytes.empty().u32(7).u32(LENGTH).u32(0))
                                .raw(status.apply(new int[] {7, LENGTH, 0})
                                        .apply(request)
                                        .done())));
    }

    @ParameterizedTest
    @MethodSource("liesAboutStatus")
    void aLieAboutBlockStatusEndsTheLink(Function<Request, Bytes> lie) throws Exception {
        Script script = client -> {
            client.welcome(true);
            client.send(lie.apply(client.request()));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            List<Long> told = new ArrayList<>();
            expectFailed(submit(
                    end -> device.extents(AT, LENGTH, (offset, length, state) -> told.add(offset + length), end)));
            assertThat(told).allMatch(to -> to <= AT + LENGTH);
            close(device);
        }
    }

    @Test
    void aLastExtentThatGoesOnBehindTheRequestIsCut() throws Exception {
        Script script = client -> {
            client.welcome(true);
            Request asked = client.request();
            client.send(chunk(
                    asked,
                    Nbd.CHUNK_BLOCK_STATUS,
                    Bytes.empty().u32(7).u32(96).u32(3).u32(LENGTH * 2).u32(0)));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            StringBuilder extents = new StringBuilder();
            assertThat(join(submit(end -> device.extents(
                            AT,
                            LENGTH,
                            (at, length, state) -> extents.append(at - AT)
                                    .append('+')
                                    .append(length)
                                    .append('=')
                                    .append(state)
                                    .append(' '),
                            end))))
                    .isEmpty();
            assertThat(extents.toString()).isEqualTo("0+96=3 96+" + (LENGTH - 96) + "=0 ");
            close(device);
        }
    }

    @Test
    void aStructuredReplyThatWasNotNegotiatedEndsTheLink() throws Exception {
        Script script = client -> {
            client.welcome(false);
            client.send(data(client.request(), AT, LENGTH));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            expectFailed(submit(end -> device.read(AT, IoBuffer.allocate(LENGTH), 0, LENGTH, end)));
            close(device);
        }
    }

    @Test
    void anHonestErrorFailsItsRequestAndNothingElse() throws Exception {
        Script script = client -> {
            client.welcome(true);
            Request first = client.request();
            client.send(part(first, Nbd.CHUNK_OFFSET_DATA, Bytes.empty().u64(AT).zeroes(100)));
            client.send(part(
                    first,
                    Nbd.CHUNK_ERROR_OFFSET,
                    Bytes.empty().u32(Nbd.EIO).u16(3).text("bad").u64(AT + 100)));
            client.send(chunk(first, Nbd.CHUNK_NONE, Bytes.empty()));
            Request second = client.request();
            client.send(part(
                    second, Nbd.CHUNK_OFFSET_HOLE, Bytes.empty().u64(AT + 96).u32(LENGTH - 96)));
            client.send(
                    chunk(second, Nbd.CHUNK_OFFSET_DATA, Bytes.empty().u64(AT).text("x".repeat(96))));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            IoBuffer buffer = IoBuffer.allocate(LENGTH);
            assertThat(join(submit(end -> device.read(AT, buffer, 0, LENGTH, end))))
                    .hasValueSatisfying(error -> {
                        assertThat(error.kind()).isEqualTo(ErrorKind.IO);
                        assertThat(error.detail()).contains("bad");
                    });
            assertThat(join(submit(end -> device.read(AT, buffer, 0, LENGTH, end))))
                    .isEmpty();
            byte[] bytes = new byte[LENGTH];
            buffer.copyTo(0, bytes, 0, LENGTH);
            assertThat(bytes)
                    .isEqualTo(Bytes.empty()
                            .text("x".repeat(96))
                            .zeroes(LENGTH - 96)
                            .done());
            close(device);
        }
    }

    @Test
    void theServerLeavesAfterEveryByteOfItsReplies() throws Exception {
        int length = 64;
        int total = Integer.MAX_VALUE;
        for (int sent = 0; sent <= total; sent++) {
            int prefix = sent;
            CompletableFuture<Integer> all = new CompletableFuture<>();
            Script script = client -> {
                client.welcome(true);
                Bytes words = Bytes.empty();
                for (int i = 0; i < 4; i++) {
                    Request request = client.request();
                    words.raw(goodReply(request).done());
                }
                byte[] replies = words.done();
                all.complete(replies.length);
                client.send(Arrays.copyOf(replies, prefix));
                client.channel().close();
            };
            try (FakeServer server = new FakeServer(script)) {
                NbdClientDevice device = open(server);
                IoBuffer buffer = IoBuffer.allocate(LENGTH);
                List<CompletableFuture<Optional<BlockError>>> ends = List.of(
                        submit(end -> device.read(0, buffer, 0, length, end)),
                        submit(end -> device.write(512, IoBuffer.allocate(length), 0, length, 0, end)),
                        submit(end -> device.extents(0, LENGTH, (from, bytes, state) -> {}, end)),
                        submit(device::flush));
                total = all.orTimeout(10, TimeUnit.SECONDS).join();
                long failed = 0;
                for (CompletableFuture<Optional<BlockError>> end : ends) {
                    Optional<BlockError> error = join(end);
                    failed += error.isPresent() ? 1 : 0;
                    error.ifPresent(told -> assertThat(told.kind()).isEqualTo(ErrorKind.UNAVAILABLE));
                }
                assertThat(failed == 0).as("all is well after %s bytes", prefix).isEqualTo(prefix == total);
                expectFailed(submit(device::flush));
                close(device);
            }
        }
    }

    private static Bytes goodReply(Request request) {
        return switch (request.type()) {
            case Nbd.CMD_READ -> data(request, request.offset(), request.length());
            case Nbd.CMD_BLOCK_STATUS ->
                chunk(
                        request,
                        Nbd.CHUNK_BLOCK_STATUS,
                        Bytes.empty().u32(7).u32(request.length()).u32(0));
            default -> Bytes.empty().simpleReply(0, request.cookie());
        };
    }

    @Test
    void aDeviceThatIsClosedWithManyRequestsGatheredStillSaysOnlySense() throws Exception {
        for (int count : new int[] {0, 1, 255, 256, 257, 600}) {
            List<Integer> types = new ArrayList<>();
            Script script = client -> {
                client.welcome(true);
                while (types.isEmpty() || types.getLast() != Nbd.CMD_DISC) {
                    Request request = client.request();
                    assertThat(request.magic()).isEqualTo(Nbd.REQUEST_MAGIC);
                    types.add(request.type());
                }
            };
            try (FakeServer server = new FakeServer(script)) {
                NbdClientDevice device = open(server);
                List<CompletableFuture<Optional<BlockError>>> ends = new ArrayList<>();
                IoBuffer buffer = IoBuffer.allocate(LENGTH);
                CompletableFuture<Void> submitted = new CompletableFuture<>();
                CompletableFuture<Optional<BlockError>> closed = new CompletableFuture<>();
                loop.execute(() -> {
                    for (int i = 0; i < count; i++) {
                        CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
                        ends.add(end);
                        device.write(i * 512L, buffer, 0, 512, 0, error -> end.complete(Optional.ofNullable(error)));
                    }
                    device.close(error -> closed.complete(Optional.ofNullable(error)));
                    submitted.complete(null);
                });
                assertThat(join(closed)).isEmpty();
                submitted.join();
                for (CompletableFuture<Optional<BlockError>> end : ends) {
                    assertThat(join(end)).isPresent();
                }
                server.awaitScript();
            }
        }
    }

    @Test
    void aDeviceThatIsClosedWhileBothBatchesAreFullStillSaysOnlySense() throws Exception {
        int count = 256;
        int bytes = 16 << 10;
        List<Integer> types = new ArrayList<>();
        CompletableFuture<Void> listen = new CompletableFuture<>();
        Script script = client -> {
            client.welcome(true);
            listen.orTimeout(20, TimeUnit.SECONDS).join();
            while (types.isEmpty() || types.getLast() != Nbd.CMD_DISC) {
                Request request = client.request();
                assertThat(request.magic()).isEqualTo(Nbd.REQUEST_MAGIC);
                types.add(request.type());
            }
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            IoBuffer buffer = IoBuffer.allocate(bytes);
            List<CompletableFuture<Optional<BlockError>>> ends = new ArrayList<>();
            for (int batch = 0; batch < 2; batch++) {
                CompletableFuture.runAsync(
                                () -> {
                                    for (int i = 0; i < count; i++) {
                                        CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
                                        ends.add(end);
                                        device.write(
                                                0,
                                                buffer,
                                                0,
                                                bytes,
                                                0,
                                                error -> end.complete(Optional.ofNullable(error)));
                                    }
                                },
                                loop)
                        .join();
            }
            CompletableFuture<Optional<BlockError>> closed = submit(device::close);
            CompletableFuture.runAsync(() -> {}, loop).join();
            listen.complete(null);
            assertThat(join(closed)).isEmpty();
            for (CompletableFuture<Optional<BlockError>> end : ends) {
                assertThat(join(end)).isPresent();
            }
            server.awaitScript();
        }
    }

    @Test
    void closingDoesNotWaitForAServerThatDoesNotListen() throws Exception {
        int bytes = 1 << 20;
        try (FakeServer server = new FakeServer(client -> client.welcome(true))) {
            NbdClientDevice device = open(server);
            CompletableFuture<Optional<BlockError>> write =
                    submit(end -> device.write(0, IoBuffer.allocate(bytes), 0, bytes, 0, end));
            close(device);
            assertThat(join(write))
                    .hasValueSatisfying(error -> assertThat(error.kind()).isEqualTo(ErrorKind.CLOSED));
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
