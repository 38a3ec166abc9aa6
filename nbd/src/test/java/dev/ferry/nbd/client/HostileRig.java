package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.nbd.client.FakeServer.Request;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Timeout;

/** A loop for clients of servers that lie or leave, and what the tests of them have in common. */
@Timeout(180)
abstract class HostileRig {
    static final int AT = 8192;
    static final int LENGTH = 4096;

    static EventLoops loops;
    static EventLoop loop;

    @BeforeAll
    static void start() {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        loop = loops.next();
    }

    @AfterAll
    static void stop() {
        loops.close();
    }

    static NbdClientDevice open(FakeServer server) throws BlockException {
        return NbdClientDevice.open(loop, server.uri(), ClientSettings.DEFAULT);
    }

    static CompletableFuture<Optional<BlockError>> submit(Consumer<Completion> request) {
        CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
        loop.execute(() -> request.accept(error -> {
            if (!end.complete(Optional.ofNullable(error))) {
                throw new AssertionError("a request ended twice");
            }
        }));
        return end;
    }

    static Optional<BlockError> join(CompletableFuture<Optional<BlockError>> end) {
        return end.orTimeout(90, TimeUnit.SECONDS).join();
    }

    static void close(NbdClientDevice device) {
        assertThat(join(submit(device::close))).isEmpty();
    }

    static void expectFailed(CompletableFuture<Optional<BlockError>> end) {
        assertThat(join(end))
                .hasValueSatisfying(error -> assertThat(error.kind()).isIn(ErrorKind.UNAVAILABLE, ErrorKind.CORRUPT));
    }

    static Bytes chunk(Request to, int type, Bytes payload) {
        return Bytes.empty().chunk(Nbd.REPLY_FLAG_DONE, type, to.cookie(), payload.done());
    }

    static Bytes part(Request to, int type, Bytes payload) {
        return Bytes.empty().chunk(0, type, to.cookie(), payload.done());
    }

    static Bytes data(Request to, long offset, int length) {
        return chunk(to, Nbd.CHUNK_OFFSET_DATA, Bytes.empty().u64(offset).zeroes(length));
    }

    static Bytes hole(Request to, long offset, long length) {
        return chunk(to, Nbd.CHUNK_OFFSET_HOLE, Bytes.empty().u64(offset).u32(length));
    }

    static Bytes error(Request to, int error, int textBytes, int payloadBytes) {
        return chunk(
                to, Nbd.CHUNK_ERROR, Bytes.empty().u32(error).u16(textBytes).zeroes(payloadBytes - 6));
    }
}
