package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.FakeServer.Peer;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Servers with extended headers: what they may say is understood, and what they may not ends the link. */
class ExtendedLiesTest extends HostileRig {
    private static final int CONTEXT = 7;

    /** A request with extended headers; its payload passed over. */
    record Asked(int type, long cookie, long offset, long length) {}

    private static Asked asked(Peer client) throws IOException {
        ByteBuffer header = ByteBuffer.wrap(client.receive(32));
        assertThat(header.getInt()).isEqualTo(Nbd.EXTENDED_REQUEST_MAGIC);
        int flags = header.getShort();
        Asked request = new Asked(header.getShort(), header.getLong(), header.getLong(), header.getLong());
        if ((flags & Nbd.CMD_FLAG_PAYLOAD_LEN) != 0) {
            client.receive((int) request.length);
        }
        return request;
    }

    private static void welcome(Peer client) throws IOException {
        client.send(Bytes.empty()
                .greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)
                .optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ACK)
                .raw(FakeServer.goodContext().done())
                .raw(FakeServer.goodExport().done()));
        client.receive(4);
        int option;
        do {
            ByteBuffer header = ByteBuffer.wrap(client.receive(16));
            option = header.getInt(8);
            client.receive(header.getInt(12));
        } while (option != Nbd.OPT_GO);
    }

    private static Bytes reply(Asked to, int flags, int type, Bytes payload) {
        byte[] bytes = payload.done();
        return header(to.cookie, to.offset, flags, type, bytes.length).raw(bytes);
    }

    private static Bytes header(long cookie, long offset, int flags, int type, long length) {
        return Bytes.empty()
                .u32(Nbd.EXTENDED_REPLY_MAGIC)
                .u16(flags)
                .u16(type)
                .u64(cookie)
                .u64(offset)
                .u64(length);
    }

    private static Bytes status(Asked to, long... lengthsAndStates) {
        Bytes payload = Bytes.empty().u32(CONTEXT).u32(lengthsAndStates.length / 2);
        for (long value : lengthsAndStates) {
            payload.u64(value);
        }
        return reply(to, 1, Nbd.CHUNK_BLOCK_STATUS_EXT, payload);
    }

    private static Arguments lie(String what, Function<Asked, Bytes> words) {
        return Arguments.of(Named.of(what, words));
    }

    static List<Arguments> liesAboutReads() {
        return List.of(
                lie(
                        "a simple reply",
                        read -> Bytes.empty().simpleReply(0, read.cookie).zeroes(LENGTH)),
                lie(
                        "a structured reply",
                        read -> Bytes.empty()
                                .chunk(1, Nbd.CHUNK_NONE, read.cookie)
                                .zeroes(32)),
                lie("an unknown cookie", read -> header(read.cookie + 1, read.offset, 1, Nbd.CHUNK_NONE, 0)),
                lie("another offset", read -> header(read.cookie, read.offset + 1, 1, Nbd.CHUNK_NONE, 0)),
                lie("done without data", read -> reply(read, 1, Nbd.CHUNK_NONE, Bytes.empty())),
                lie("2^63 bytes", read -> header(read.cookie, read.offset, 1, Nbd.CHUNK_OFFSET_DATA, Long.MIN_VALUE)),
                lie("2^32 bytes", read -> header(read.cookie, read.offset, 1, Nbd.CHUNK_OFFSET_DATA, 1L << 32)),
                lie(
                        "data elsewhere",
                        read -> reply(
                                read,
                                1,
                                Nbd.CHUNK_OFFSET_DATA,
                                Bytes.empty().u64(read.offset + 1).zeroes(LENGTH))),
                lie("a block status", read -> status(read, LENGTH, 0)));
    }

    @ParameterizedTest
    @MethodSource("liesAboutReads")
    void aLieAboutAReadEndsTheLink(Function<Asked, Bytes> lie) throws Exception {
        Script script = client -> {
            welcome(client);
            client.send(lie.apply(asked(client)));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            IoBuffer buffer = IoBuffer.allocate(LENGTH);
            expectFailed(submit(end -> device.read(AT, buffer, 0, LENGTH, end)));
            server.awaitScript();
            close(device);
        }
    }

    static List<Arguments> liesAboutStatus() {
        return List.of(
                lie(
                        "compact extents",
                        asked -> reply(
                                asked,
                                1,
                                Nbd.CHUNK_BLOCK_STATUS,
                                Bytes.empty().u32(CONTEXT).u32(4096).u32(0))),
                lie(
                        "a wrong count",
                        asked -> reply(
                                asked,
                                1,
                                Nbd.CHUNK_BLOCK_STATUS_EXT,
                                Bytes.empty().u32(CONTEXT).u32(2).u64(4096).u64(0))),
                lie(
                        "no extent",
                        asked -> reply(
                                asked,
                                1,
                                Nbd.CHUNK_BLOCK_STATUS_EXT,
                                Bytes.empty().u32(CONTEXT).u32(0))),
                lie("an extent of no length", asked -> status(asked, 0, 0)),
                lie("an extent of 2^63", asked -> status(asked, Long.MIN_VALUE, 0)),
                lie("an extent past the end", asked -> status(asked, FakeServer.SIZE_BYTES + 1, 0)),
                lie("an extent behind the range", asked -> status(asked, asked.length, 0, 4096, 0)),
                lie(
                        "another context",
                        asked -> reply(
                                asked,
                                1,
                                Nbd.CHUNK_BLOCK_STATUS_EXT,
                                Bytes.empty().u32(CONTEXT + 1).u32(1).u64(4096).u64(0))));
    }

    @ParameterizedTest
    @MethodSource("liesAboutStatus")
    void aLieAboutBlockStatusEndsTheLink(Function<Asked, Bytes> lie) throws Exception {
        Script script = client -> {
            welcome(client);
            client.send(lie.apply(asked(client)));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            expectFailed(submit(end -> device.extents(0, 1 << 16, (offset, length, state) -> {}, end)));
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void whatIsTrueIsUnderstood() throws Exception {
        List<Long> told = Collections.synchronizedList(new ArrayList<>());
        Script script = client -> {
            welcome(client);
            Asked write = asked(client);
            client.send(reply(write, 1, Nbd.CHUNK_NONE, Bytes.empty()));
            Asked read = asked(client);
            client.send(reply(
                    read,
                    0,
                    Nbd.CHUNK_OFFSET_HOLE,
                    Bytes.empty().u64(read.offset).u32(1024)));
            client.send(reply(
                    read,
                    1,
                    Nbd.CHUNK_OFFSET_DATA,
                    Bytes.empty().u64(read.offset + 1024).zeroes(LENGTH - 1024)));
            Asked status = asked(client);
            client.send(status(status, 4096, 3, 1 << 16, 0));
            Asked failed = asked(client);
            client.send(reply(
                    failed,
                    1,
                    Nbd.CHUNK_ERROR,
                    Bytes.empty().u32(Nbd.ENOSPC).u16(4).text("full")));
        };
        try (FakeServer server = new FakeServer(script)) {
            NbdClientDevice device = open(server);
            IoBuffer buffer = IoBuffer.allocate(LENGTH);
            assertThat(device.terms().replies().extended()).isTrue();
            assertThat(join(submit(end -> device.write(AT, buffer, 0, LENGTH, 0, end))))
                    .isEmpty();
            buffer.segment().fill((byte) 9);
            assertThat(join(submit(end -> device.read(AT, buffer, 0, LENGTH, end))))
                    .isEmpty();
            assertThat(buffer.isZero(0, LENGTH)).isTrue();
            assertThat(join(submit(end -> device.extents(0, 8192, (offset, length, state) -> told.add(length), end))))
                    .isEmpty();
            assertThat(told).containsExactly(4096L, 4096L);
            CompletableFuture<Optional<BlockError>> full = submit(end -> device.write(0, buffer, 0, LENGTH, 0, end));
            assertThat(join(full))
                    .hasValueSatisfying(error -> assertThat(error.detail()).contains("full"));
            server.awaitScript();
            close(device);
        }
    }

    @Test
    void theServerLeavesAfterEveryByteOfItsReply() throws Exception {
        int whole = 32 + 8 + LENGTH;
        for (int length = 0; length < whole; length += length < 64 ? 1 : 97) {
            int some = length;
            Script script = client -> {
                welcome(client);
                Asked read = asked(client);
                byte[] all = reply(
                                read,
                                1,
                                Nbd.CHUNK_OFFSET_DATA,
                                Bytes.empty().u64(read.offset).zeroes(LENGTH))
                        .done();
                client.send(Arrays.copyOf(all, some));
                client.channel().close();
            };
            try (FakeServer server = new FakeServer(script)) {
                NbdClientDevice device = open(server);
                IoBuffer buffer = IoBuffer.allocate(LENGTH);
                expectFailed(submit(end -> device.read(AT, buffer, 0, LENGTH, end)));
                close(device);
            }
        }
    }
}
