package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.nbd.client.FakeServer.Peer;
import dev.ferry.nbd.client.FakeServer.Script;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Writes whose bytes the kernel takes from a file: what a server gets, and what becomes of them when something goes wrong. */
@Timeout(180)
@ParameterizedClass
@EnumSource(
        value = EventLoops.Kind.class,
        names = {"IO_URING", "EPOLL"})
class FileWritesTest {
    private static final int SIZE_BYTES = (int) FakeServer.SIZE_BYTES;
    /** Lengths of writes, one after the other; those at odd places of this list are of bytes in memory. */
    private static final int[] LENGTHS = {512, 4096, 300 << 10, 200 << 10, 256 << 10, 8 << 10, 1536, 60 << 10};

    @TempDir
    Path folder;

    private final EventLoops.Kind kind;
    private final byte[] content = new byte[SIZE_BYTES];
    private final FileRange range = new FileRange();
    private EventLoops loops;
    private EventLoop loop;
    private FileDevice file;

    FileWritesTest(EventLoops.Kind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void open() throws Exception {
        loops = EventLoops.start(1, kind);
        loop = loops.next();
        new Random(7).nextBytes(content);
        file = FileDevice.open(loop, Files.write(folder.resolve("source"), content), FileOptions.CACHED);
        CompletableFuture<Boolean> located = new CompletableFuture<>();
        loop.execute(() -> located.complete(file.locate(0, SIZE_BYTES, range)));
        Requires.that(located.get(90, TimeUnit.SECONDS), "a kernel that tells which pages of a file are in memory");
    }

    @AfterEach
    void close() {
        assertThat(join(submit(file::close))).isEmpty();
        loops.close();
    }

    private CompletableFuture<Optional<BlockError>> submit(Consumer<Completion> request) {
        CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
        loop.execute(() -> request.accept(error -> {
            if (!end.complete(Optional.ofNullable(error))) {
                throw new AssertionError("a request ended twice");
            }
        }));
        return end;
    }

    private static Optional<BlockError> join(CompletableFuture<Optional<BlockError>> end) {
        return end.orTimeout(90, TimeUnit.SECONDS).join();
    }

    private CompletableFuture<Optional<BlockError>> writeFile(NbdClientDevice device, int from, int length) {
        return submit(end -> {
            FileRange piece = new FileRange();
            piece.set(range.descriptor(), range.position() + from);
            device.writeFile(from, piece, length, 0, end);
        });
    }

    private CompletableFuture<Optional<BlockError>> writeMemory(NbdClientDevice device, int from, int length) {
        IoBuffer buffer = IoBuffer.allocate(length);
        buffer.segment()
                .asSlice(0, length)
                .copyFrom(MemorySegment.ofArray(content).asSlice(from, length));
        return submit(end -> device.write(from, buffer, 0, length, 0, end));
    }

    /** Takes writes until all of the disk has come, in small pieces with a socket that fills up in between, and answers. */
    private static void take(Peer client, byte[] disk) throws IOException {
        for (int got = 0; got < disk.length; ) {
            ByteBuffer header = ByteBuffer.wrap(client.receive(28));
            assertThat(header.getInt()).isEqualTo(Nbd.REQUEST_MAGIC);
            header.getShort();
            assertThat(header.getShort()).isEqualTo((short) Nbd.CMD_WRITE);
            long cookie = header.getLong();
            int offset = (int) header.getLong();
            byte[] data = client.receive(header.getInt());
            System.arraycopy(data, 0, disk, offset, data.length);
            got += data.length;
            client.send(Bytes.empty().simpleReply(0, cookie));
        }
    }

    private static Script takes(byte[] disk) {
        return client -> {
            client.welcome(true);
            take(client, disk);
        };
    }

    @Test
    void aServerGetsFilesAndMemoryInOrder() throws Exception {
        byte[] disk = new byte[SIZE_BYTES];
        try (FakeServer server = new FakeServer(takes(disk))) {
            NbdClientDevice device = NbdClientDevice.open(loop, server.uri(), ClientSettings.DEFAULT);
            assertThat(device.writesFiles()).isTrue();
            List<CompletableFuture<Optional<BlockError>>> writes = new ArrayList<>();
            int at = 0;
            for (int i = 0; at < SIZE_BYTES; i++) {
                int length = Math.min(LENGTHS[i % LENGTHS.length], SIZE_BYTES - at);
                writes.add(i % 2 == 0 ? writeFile(device, at, length) : writeMemory(device, at, length));
                at += length;
            }
            for (CompletableFuture<Optional<BlockError>> write : writes) {
                assertThat(join(write)).isEmpty();
            }
            server.awaitScript();
            assertThat(disk).isEqualTo(content);
            assertThat(join(submit(device::close))).isEmpty();
        }
    }

    @Test
    void whatAServerThatDiedHadNotAnsweredIsSentFromTheFileAgain() throws Exception {
        byte[] disk = new byte[SIZE_BYTES];
        Script dies = client -> {
            client.welcome(true);
            client.receive(28 + 300_000);
            client.channel().close();
        };
        try (FakeServer server = new FakeServer(dies, dies, takes(disk))) {
            ClientSettings patient = ClientSettings.DEFAULT.withReconnectMax(Duration.ofSeconds(60));
            NbdClientDevice device = NbdClientDevice.open(loop, server.uri(), patient);
            assertThat(join(writeFile(device, 0, SIZE_BYTES))).isEmpty();
            server.awaitScript();
            assertThat(disk).isEqualTo(content);
            assertThat(join(submit(device::close))).isEmpty();
        }
    }

    @Test
    void aServerThatGoesInTheMiddleEndsTheWrite() throws Exception {
        Script dies = client -> {
            client.welcome(true);
            client.receive(28 + 300_000);
            client.channel().close();
        };
        try (FakeServer server = new FakeServer(dies)) {
            NbdClientDevice device = NbdClientDevice.open(loop, server.uri(), ClientSettings.DEFAULT);
            assertThat(join(writeFile(device, 0, SIZE_BYTES)))
                    .hasValueSatisfying(error -> assertThat(error.kind()).isEqualTo(ErrorKind.UNAVAILABLE));
            assertThat(join(submit(device::close))).isEmpty();
        }
    }

    @Test
    void aFileThatEndsTooSoonIsSaid() throws Exception {
        Script listens = client -> client.welcome(true);
        try (FakeServer server = new FakeServer(listens)) {
            NbdClientDevice device = NbdClientDevice.open(loop, server.uri(), ClientSettings.DEFAULT);
            CompletableFuture<Optional<BlockError>> write = submit(end -> {
                FileRange beyond = new FileRange();
                beyond.set(range.descriptor(), range.position() + SIZE_BYTES - 4096);
                device.writeFile(0, beyond, 8192, 0, end);
            });
            assertThat(join(write)).hasValueSatisfying(error -> {
                assertThat(error.kind()).isEqualTo(ErrorKind.IO);
                assertThat(error.detail()).contains("ends too soon");
            });
            assertThat(join(submit(device::close))).isEmpty();
        }
    }
}
