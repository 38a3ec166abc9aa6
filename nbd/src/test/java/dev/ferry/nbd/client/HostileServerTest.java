package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.client.FakeServer.Request;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Servers that fail requests, leave, or do not listen: every request ends, once, with an error that says so. */
class HostileServerTest extends HostileRig {
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
                total = all.orTimeout(90, TimeUnit.SECONDS).join();
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
            listen.orTimeout(90, TimeUnit.SECONDS).join();
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
}
