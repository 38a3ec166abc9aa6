package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.FakeServer.Request;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Servers that send what was not asked for: the link ends, every request with it, and no byte is put where none belongs. */
class LyingServerTest extends HostileRig {
    private static Arguments lie(String what, Function<Request, Bytes> words) {
        return Arguments.of(Named.of(what, words));
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
                assertThat(guarded.segment().get(ValueLayout.JAVA_BYTE, i)).isEqualTo((byte) 0x5a);
                assertThat(guarded.segment().get(ValueLayout.JAVA_BYTE, 2L * LENGTH + i))
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
}
