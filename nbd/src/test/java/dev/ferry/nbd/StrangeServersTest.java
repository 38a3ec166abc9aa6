package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdInfo;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.wire.ExportReport;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.RandomLoad;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Our client at servers that others wrote. */
@Timeout(120)
@ParameterizedClass
@EnumSource(
        value = EventLoops.Kind.class,
        names = {"IO_URING", "EPOLL"})
class StrangeServersTest {
    private static final int MEBI = 1 << 20;

    @TempDir
    Path folder;

    private final EventLoops.Kind kind;
    private EventLoops loops;
    private EventLoop events;
    private Loop loop;

    StrangeServersTest(EventLoops.Kind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() {
        loops = EventLoops.start(1, kind);
        events = loops.next();
        loop = new ReactorLoop(events);
    }

    @AfterEach
    void stop() {
        loops.close();
    }

    private Path sparse(String name, long bytes) throws IOException {
        Path file = folder.resolve(name);
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(bytes);
        }
        return file;
    }

    private StrangeServer qemuNbd(String... arguments) throws Exception {
        return StrangeServer.start("qemu-nbd", List.of("-t", "-e", "4", "-k"), folder.resolve("socket"), arguments);
    }

    private StrangeServer nbdkit(String... arguments) throws Exception {
        return StrangeServer.start("nbdkit", List.of("-f", "-U"), folder.resolve("socket"), arguments);
    }

    private BlockDevice open(StrangeServer server, String name) throws BlockException {
        NbdUri uri = new NbdUri.Unix(server.socket(), name);
        return CheckedDevice.of(NbdClientDevice.open(events, uri, ClientSettings.DEFAULT), name);
    }

    private void close(BlockDevice device) {
        assertThat(OnLoop.await(loop, device::close)).isNull();
    }

    private void randomRequests(BlockDevice device) {
        Seeds.run(seed -> new RandomLoad(loop, device, seed).run(400));
    }

    private BlockError fails(Consumer<Completion> request) {
        return Objects.requireNonNull(OnLoop.await(loop, request), "a request that was to fail did not");
    }

    private byte[] read(BlockDevice device, long offset, int length) {
        IoBuffer buffer = IoBuffer.allocate(length);
        assertThat(OnLoop.await(loop, end -> device.read(offset, buffer, 0, length, end)))
                .isNull();
        byte[] bytes = new byte[length];
        buffer.copyTo(0, bytes, 0, length);
        return bytes;
    }

    private void write(BlockDevice device, long offset, byte[] bytes, int flags) {
        IoBuffer buffer = IoBuffer.allocate(bytes.length);
        buffer.copyFrom(bytes, 0, 0, bytes.length);
        assertThat(OnLoop.await(loop, end -> device.write(offset, buffer, 0, bytes.length, flags, end)))
                .isNull();
    }

    private static byte[] random(int length, long seed) {
        byte[] bytes = new byte[length];
        new SplittableRandom(seed).nextBytes(bytes);
        return bytes;
    }

    // ---- QEMU's server

    @Test
    void qemuNbdKeepsWhatItIsGiven() throws Exception {
        Path file = sparse("disk.raw", 32 * MEBI);
        try (StrangeServer server = qemuNbd("-f", "raw", "--discard=unmap", "-x", "disk", file.toString())) {
            BlockDevice device = open(server, "disk");
            assertThat(device.geometry().sizeBytes()).isEqualTo(32 * MEBI);
            randomRequests(device);
            byte[] long32 = random(31 * MEBI, 1);
            write(device, 0, long32, RequestFlags.FUA);
            assertThat(Arrays.equals(read(device, 0, long32.length), long32)).isTrue();
            assertThat(OnLoop.await(loop, end -> device.discard(MEBI, 8 * MEBI, 0, end)))
                    .isNull();
            assertThat(OnLoop.await(loop, device::flush)).isNull();
            List<String> extents = new ArrayList<>();
            assertThat(OnLoop.await(
                            loop,
                            end -> device.extents(
                                    0,
                                    31 * MEBI,
                                    (at, length, state) -> extents.add(at + "+" + length + ":" + state),
                                    end)))
                    .isNull();
            assertThat(extents)
                    .containsExactly(
                            "0+" + MEBI + ":0", MEBI + "+" + 8 * MEBI + ":3", 9 * MEBI + "+" + 22 * MEBI + ":0");
            close(device);
        }
        byte[] kept = Files.readAllBytes(file);
        assertThat(Arrays.equals(Arrays.copyOf(kept, MEBI), Arrays.copyOf(random(31 * MEBI, 1), MEBI)))
                .isTrue();
    }

    @Test
    void aQcow2BehindQemuNbdIsADiskLikeAnyOther() throws Exception {
        Path image = folder.resolve("disk.qcow2");
        Stranger.succeeds("qemu-img", "create", "-q", "-f", "qcow2", image.toString(), "16M");
        try (StrangeServer server = qemuNbd("-f", "qcow2", "-x", "disk", image.toString())) {
            BlockDevice device = open(server, "disk");
            randomRequests(device);
            close(device);
        }
        assertThat(Stranger.succeeds("qemu-img", "check", image.toString())).contains("No errors were found");
    }

    @Test
    void aReadOnlyServerIsAReadOnlyDevice() throws Exception {
        Path file = sparse("disk.raw", MEBI);
        try (StrangeServer server = qemuNbd("-r", "-f", "raw", file.toString())) {
            BlockDevice device = open(server, "");
            assertThat(device.capabilities().readOnly()).isTrue();
            IoBuffer buffer = IoBuffer.allocate(4096);
            BlockError error = fails(end -> device.write(0, buffer, 0, 4096, 0, end));
            assertThat(error.kind()).isEqualTo(ErrorKind.READ_ONLY);
            assertThat(read(device, 0, 4096)).isEqualTo(new byte[4096]);
            close(device);
        }
    }

    @Test
    void qemuNbdTellsOfItsExport() throws Exception {
        Path file = sparse("disk.raw", MEBI);
        try (StrangeServer server = qemuNbd("-f", "raw", "-x", "a disk", "-D", "what it is", file.toString())) {
            NbdInfo info = NbdInfo.list(events, new NbdUri.Unix(server.socket(), ""), ClientSettings.DEFAULT);
            assertThat(info.structuredReplies()).isTrue();
            assertThat(info.exports()).hasSize(1);
            ExportReport export = info.exports().getFirst();
            assertThat(export.name()).isEqualTo("a disk");
            assertThat(export.description()).isEqualTo("what it is");
            assertThat(export.sizeBytes()).isEqualTo(MEBI);
            assertThat(export.contexts()).contains("base:allocation");
        }
    }

    @Test
    void anExportThatIsNotThereIsNotFound() throws Exception {
        Path file = sparse("disk.raw", MEBI);
        try (StrangeServer server = qemuNbd("-f", "raw", "-x", "disk", file.toString())) {
            assertThatThrownBy(() -> open(server, "another"))
                    .isInstanceOfSatisfying(
                            BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.NOT_FOUND));
        }
    }

    @Test
    void whereNobodyListensTheServerIsUnavailable() {
        assertThatThrownBy(() -> NbdClientDevice.open(
                        events, new NbdUri.Unix(folder.resolve("nobody"), ""), ClientSettings.DEFAULT))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.UNAVAILABLE))
                .hasMessageContaining("nobody");
    }

    @Test
    void whenTheServerDiesRequestsAreTold() throws Exception {
        Path file = sparse("disk.raw", MEBI);
        try (StrangeServer server = qemuNbd("-f", "raw", file.toString())) {
            BlockDevice device = open(server, "");
            assertThat(read(device, 0, 4096)).isEqualTo(new byte[4096]);
            server.kill();
            IoBuffer buffer = IoBuffer.allocate(4096);
            for (int i = 0; i < 3; i++) {
                BlockError error = fails(end -> device.read(0, buffer, 0, 4096, end));
                assertThat(error.kind()).isEqualTo(ErrorKind.UNAVAILABLE);
            }
            close(device);
        }
    }

    // ---- nbdkit

    @Test
    void nbdkitKeepsWhatItIsGivenInMemoryAndInFiles() throws Exception {
        try (StrangeServer server = nbdkit("memory", "16M")) {
            BlockDevice device = open(server, "");
            randomRequests(device);
            close(device);
        }
        Path file = sparse("disk.raw", 16 * MEBI + 777);
        try (StrangeServer server = nbdkit("file", file.toString())) {
            BlockDevice device = open(server, "");
            randomRequests(device);
            write(device, 16 * MEBI, random(777, 5), RequestFlags.FUA);
            close(device);
        }
        byte[] kept = Files.readAllBytes(file);
        assertThat(Arrays.copyOfRange(kept, 16 * MEBI, kept.length)).isEqualTo(random(777, 5));
    }

    @Test
    void aServerWithoutStructuredRepliesWillDo() throws Exception {
        try (StrangeServer server = nbdkit("--no-sr", "memory", "16M")) {
            BlockDevice device = open(server, "");
            assertThat(device.capabilities().extents()).isFalse();
            randomRequests(device);
            close(device);
        }
    }

    @Test
    void aServerThatCanDoLittleIsMadeUpFor() throws Exception {
        try (StrangeServer server =
                nbdkit("--filter=nozero", "--filter=fua", "--filter=noextents", "memory", "16M", "fuamode=emulate")) {
            BlockDevice device = open(server, "");
            randomRequests(device);
            close(device);
        }
    }

    @Test
    void aServerWithLargeBlocksSaysSo() throws Exception {
        try (StrangeServer server = nbdkit(
                "--filter=blocksize-policy",
                "memory",
                "8M",
                "blocksize-minimum=4096",
                "blocksize-preferred=65536",
                "blocksize-maximum=8M",
                "blocksize-error-policy=error")) {
            BlockDevice device = open(server, "");
            assertThat(device.geometry().blockSizeBytes()).isEqualTo(4096);
            assertThat(device.geometry().preferredBytes()).isEqualTo(65536);
            assertThat(device.geometry().maxTransferBytes()).isEqualTo(8 * MEBI);
            randomRequests(device);
            close(device);
        }
    }

    @Test
    void errorsOfTheServerAreErrorsOfTheDevice() throws Exception {
        try (StrangeServer server = nbdkit(
                "--filter=error",
                "memory",
                "16M",
                "error-pread=EIO",
                "error-pread-rate=100%",
                "error-pwrite=ENOSPC",
                "error-pwrite-rate=100%",
                "error-zero=ENOMEM",
                "error-zero-rate=100%")) {
            BlockDevice device = open(server, "");
            IoBuffer buffer = IoBuffer.allocate(300_000);
            BlockError read = fails(end -> device.read(4096, buffer, 0, 300_000, end));
            assertThat(read.kind()).isEqualTo(ErrorKind.IO);
            assertThat(read.message()).contains("4096");
            BlockError written = fails(end -> device.write(0, buffer, 0, 300_000, 0, end));
            assertThat(written.kind()).isEqualTo(ErrorKind.NO_SPACE);
            BlockError zeroed = fails(end -> device.writeZeroes(0, MEBI, 0, end));
            assertThat(zeroed.kind()).isEqualTo(ErrorKind.NO_MEMORY);
            assertThat(OnLoop.await(loop, device::flush)).isNull();
            close(device);
        }
    }
}
