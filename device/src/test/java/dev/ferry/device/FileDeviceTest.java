package dev.ferry.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assumptions.assumeThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Linux;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.ValueLayout;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Files as real file systems keep them: each test on both loops, through the page cache and past it. */
@Timeout(180)
class FileDeviceTest {
    private static final int MEBI = 1 << 20;
    private static final int F_DUPFD_CLOEXEC = 1030;

    @TempDir
    Path folder;

    /** One device on a loop of its own. */
    private static final class Rig implements AutoCloseable {
        private final EventLoops loops;
        private final EventLoop loop;
        private final BlockDevice device;

        Rig(EventLoops.Kind kind, Path file, FileOptions options) throws IOException {
            loops = EventLoops.start(1, kind);
            loop = loops.next();
            try {
                device = CheckedDevice.of(FileDevice.open(loop, file, options), "test");
            } catch (IOException failed) {
                loops.close();
                throw failed;
            }
        }

        /** Submits one request on the loop and waits for its end. */
        Optional<BlockError> request(Consumer<Completion> submit) throws Exception {
            CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
            loop.execute(() -> submit.accept(error -> end.complete(Optional.ofNullable(error))));
            return end.get(90, TimeUnit.SECONDS);
        }

        void succeed(Consumer<Completion> submit) throws Exception {
            assertThat(request(submit)).isEmpty();
        }

        boolean locates(long offset, int length) throws Exception {
            CompletableFuture<Boolean> answer = new CompletableFuture<>();
            loop.execute(() -> answer.complete(device.locate(offset, length, new FileRange())));
            return answer.get(90, TimeUnit.SECONDS);
        }

        List<String> extents(long offset, long length) throws Exception {
            List<String> seen = new ArrayList<>();
            succeed(end -> device.extents(
                    offset,
                    length,
                    (at, bytes, state) -> seen.add(at + "+" + bytes + (state == 0 ? " data" : " hole")),
                    end));
            return seen;
        }

        @Override
        public void close() {
            loop.execute(() -> device.close(error -> assertThat(error).isNull()));
            loops.close();
        }
    }

    private Path sparse(long bytes) throws IOException {
        Path file = folder.resolve("disk.raw");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(bytes);
        }
        return file;
    }

    private static IoBuffer filled(int bytes, int seed) {
        IoBuffer buffer = IoBuffer.allocate(bytes);
        for (int i = 0; i < bytes; i++) {
            buffer.segment().set(ValueLayout.JAVA_BYTE, i, (byte) (seed + i * 31 + (i >> 8)));
        }
        return buffer;
    }

    @ParameterizedTest
    @CsvSource({"IO_URING,false", "IO_URING,true", "EPOLL,false", "EPOLL,true"})
    void whatIsWrittenIsRead(EventLoops.Kind kind, boolean direct) throws Exception {
        Path file = sparse(64 * MEBI);
        try (Rig rig = new Rig(kind, file, new FileOptions(false, direct))) {
            for (int length : new int[] {4096, 65536, 1 << 17, 4 * MEBI, 32 * MEBI}) {
                IoBuffer out = filled(length, length);
                IoBuffer in = IoBuffer.allocate(length);
                rig.succeed(end -> rig.device.write(8 * MEBI, out, 0, length, RequestFlags.FUA, end));
                rig.succeed(end -> rig.device.read(8 * MEBI, in, 0, length, end));
                assertThat(in.segment().mismatch(out.segment())).isEqualTo(-1);
            }
            rig.succeed(rig.device::flush);
        }
    }

    /** The garbage collector must not free what the kernel still reads or fills, though nobody else knows of it any more. */
    @ParameterizedTest
    @CsvSource({"IO_URING,false", "IO_URING,true", "EPOLL,false", "EPOLL,true"})
    void theMemoryOfARequestStaysUntilItsEnd(EventLoops.Kind kind, boolean direct) throws Exception {
        Path file = sparse(MEBI);
        try (Rig rig = new Rig(kind, file, new FileOptions(false, direct))) {
            for (boolean write : new boolean[] {true, false}) {
                CompletableFuture<Boolean> kept = new CompletableFuture<>();
                CompletableFuture<Optional<BlockError>> end = new CompletableFuture<>();
                rig.loop.execute(() -> {
                    WeakReference<IoBuffer> buffer =
                            forgotten(rig.device, write, error -> end.complete(Optional.ofNullable(error)));
                    // It ends by a later command of this loop, so that it is in flight as long as this one runs.
                    System.gc();
                    kept.complete(end.isDone() || buffer.get() != null);
                });
                assertThat(kept.get(90, TimeUnit.SECONDS)).isTrue();
                assertThat(end.get(90, TimeUnit.SECONDS)).isEmpty();
            }
        }
    }

    private static WeakReference<IoBuffer> forgotten(BlockDevice device, boolean write, Completion end) {
        IoBuffer buffer = filled(MEBI / 2, 3);
        if (write) {
            device.write(0, buffer, 0, MEBI / 2, 0, end);
        } else {
            // What nobody has read or written yet is not in the page cache, and is not read inline.
            device.read(MEBI / 2, buffer, 0, MEBI / 2, end);
        }
        return new WeakReference<>(buffer);
    }

    @ParameterizedTest
    @CsvSource({"IO_URING,false", "IO_URING,true", "EPOLL,false", "EPOLL,true"})
    void aDiscardGivesSpaceBackAndReadsAsZeroes(EventLoops.Kind kind, boolean direct) throws Exception {
        Path file = sparse(16 * MEBI);
        try (Rig rig = new Rig(kind, file, new FileOptions(false, direct))) {
            IoBuffer out = filled(4 * MEBI, 3);
            rig.succeed(end -> rig.device.write(4 * MEBI, out, 0, 4 * MEBI, 0, end));
            rig.succeed(rig.device::flush);
            assertThat(allocated(file)).isGreaterThanOrEqualTo(4 * MEBI);
            assertThat(rig.extents(0, 16 * MEBI))
                    .containsExactly("0+4194304 hole", "4194304+4194304 data", "8388608+8388608 hole");
            rig.succeed(end -> rig.device.discard(5 * MEBI, 2 * MEBI, 0, end));
            assertThat(allocated(file)).isLessThan(3 * MEBI);
            IoBuffer in = filled(4 * MEBI, 9);
            rig.succeed(end -> rig.device.read(4 * MEBI, in, 0, 4 * MEBI, end));
            assertThat(in.isZero(MEBI, 2 * MEBI)).isTrue();
            assertThat(in.isZero(0, 4096)).isFalse();
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING,false", "IO_URING,true", "EPOLL,false", "EPOLL,true"})
    void zeroesThatMayNotBeAHoleStayAllocated(EventLoops.Kind kind, boolean direct) throws Exception {
        Path file = sparse(16 * MEBI);
        try (Rig rig = new Rig(kind, file, new FileOptions(false, direct))) {
            IoBuffer out = filled(4 * MEBI, 3);
            rig.succeed(end -> rig.device.write(0, out, 0, 4 * MEBI, 0, end));
            rig.succeed(end -> rig.device.writeZeroes(0, 8 * MEBI, RequestFlags.NO_HOLE, end));
            assertThat(allocated(file)).isGreaterThanOrEqualTo(8 * MEBI);
            IoBuffer in = filled(4 * MEBI, 9);
            rig.succeed(end -> rig.device.read(0, in, 0, 4 * MEBI, end));
            assertThat(in.isZero(0, 4 * MEBI)).isTrue();
            rig.succeed(end -> rig.device.writeZeroes(0, 8 * MEBI, RequestFlags.FAST_ZERO, end));
            assertThat(allocated(file)).isLessThan(MEBI);
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING,false", "IO_URING,true", "EPOLL,false", "EPOLL,true"})
    void aFileThatWasCutShortIsAnError(EventLoops.Kind kind, boolean direct) throws Exception {
        Path file = sparse(4 * MEBI);
        try (Rig rig = new Rig(kind, file, new FileOptions(false, direct))) {
            try (RandomAccessFile cut = new RandomAccessFile(file.toFile(), "rw")) {
                cut.setLength(2 * MEBI);
            }
            IoBuffer in = IoBuffer.allocate(MEBI);
            Optional<BlockError> error = rig.request(end -> rig.device.read(3 * MEBI, in, 0, MEBI, end));
            assertThat(error).hasValueSatisfying(e -> assertThat(e.kind()).isEqualTo(ErrorKind.IO));
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void onlyWhatIsInMemoryIsLocated(EventLoops.Kind kind) throws Exception {
        Path file = sparse(4 * MEBI);
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED)) {
            assertThat(rig.locates(0, MEBI)).as("a hole").isFalse();
            IoBuffer out = filled(MEBI, 5);
            rig.succeed(end -> rig.device.write(0, out, 0, MEBI, 0, end));
            boolean kernelTells = Linux.pagesInMemory(0, 0, 1, out.address()) != -Errno.ENOSYS;
            assumeThat(kernelTells).as("cachestat, Linux 6.5").isTrue();
            assertThat(rig.locates(0, MEBI)).as("just written").isTrue();
            assertThat(rig.locates(0, MEBI + 1)).as("and a byte more").isFalse();
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void aReadOnlyFileTakesNoChanges(EventLoops.Kind kind) throws Exception {
        Path file = sparse(MEBI);
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED.asReadOnly())) {
            IoBuffer out = IoBuffer.allocate(4096);
            assertThat(rig.request(end -> rig.device.write(0, out, 0, 4096, 0, end)))
                    .hasValueSatisfying(e -> assertThat(e.kind()).isEqualTo(ErrorKind.READ_ONLY));
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void whatCannotBeOpenedSaysWhyInOneLine(EventLoops.Kind kind) throws Exception {
        assertThatThrownBy(() -> new Rig(kind, folder.resolve("absent"), FileOptions.CACHED))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.NOT_FOUND))
                .hasMessageContaining("no such file");
        assertThatThrownBy(() -> new Rig(kind, folder, FileOptions.CACHED.asReadOnly()))
                .hasMessageContaining("neither a file nor a block device");
        Path odd = sparse(1000);
        assertThatThrownBy(() -> new Rig(kind, odd, FileOptions.DIRECT))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.UNSUPPORTED))
                .hasMessageContaining("not a multiple");
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void aSizeThatIsNoMultipleOfASectorWorksThroughTheCache(EventLoops.Kind kind) throws Exception {
        Path file = sparse(1000);
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED)) {
            IoBuffer out = filled(1000, 1);
            rig.succeed(end -> rig.device.write(0, out, 0, 1000, 0, end));
            IoBuffer in = IoBuffer.allocate(1000);
            rig.succeed(end -> rig.device.read(0, in, 0, 1000, end));
            assertThat(in.segment().mismatch(out.segment())).isEqualTo(-1);
        }
        assertThat(Files.size(file)).isEqualTo(1000);
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void aFileHasOneWriter(EventLoops.Kind kind) throws Exception {
        Path file = sparse(MEBI);
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED)) {
            assertThatThrownBy(() -> new Rig(kind, file, FileOptions.CACHED))
                    .isInstanceOfSatisfying(
                            BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.BUSY));
            new Rig(kind, file, FileOptions.CACHED.asReadOnly()).close();
            rig.succeed(rig.device::flush);
        }
        new Rig(kind, file, FileOptions.CACHED).close();
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void aClosedFileIsFreeThoughTheKernelHoldsItForAWhile(EventLoops.Kind kind) throws Exception {
        Path file = sparse(MEBI);
        int held;
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED)) {
            held = Linux.fcntl(((FileDevice) rig.device.store()).file(), F_DUPFD_CLOEXEC, 0);
            assertThat(held).isPositive();
        }
        try {
            int other = Linux.open(file.toString(), Linux.O_RDWR, 0);
            assertThat(ImageLock.takeForWriting(other, 0)).isZero();
            Linux.close(other);
        } finally {
            Linux.close(held);
        }
    }

    @Test
    void aLockThatIsAboutToGoIsWaitedFor() throws Exception {
        Path file = sparse(MEBI);
        int first = Linux.open(file.toString(), Linux.O_RDWR, 0);
        int second = Linux.open(file.toString(), Linux.O_RDWR, 0);
        try {
            assertThat(ImageLock.takeForWriting(first, 0)).isZero();
            assertThat(ImageLock.takeForWriting(second, 0)).isEqualTo(-Errno.EBUSY);
            FutureTask<Integer> waiting = new FutureTask<>(() -> ImageLock.takeForWriting(second, 60_000_000_000L));
            Thread waiter = Thread.ofPlatform().start(waiting);
            Awaitility.await()
                    .atMost(60, TimeUnit.SECONDS)
                    .until(() -> waiter.getState() == Thread.State.TIMED_WAITING);
            ImageLock.release(first);
            assertThat(waiting.get(60, TimeUnit.SECONDS)).isZero();
            assertThat(ImageLock.takeForWriting(first, 0)).isEqualTo(-Errno.EBUSY);
        } finally {
            Linux.close(first);
            Linux.close(second);
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void aRunOfDataIsLookedForOnce(EventLoops.Kind kind) throws Exception {
        Path file = folder.resolve("run");
        Files.write(file, filledBytes(4 * MEBI));
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED)) {
            assertThat(rig.extents(0, MEBI)).containsExactly("0+1048576 data");
            // Behind the back of the device, which need not see it.
            try (RandomAccessFile cut = new RandomAccessFile(file.toFile(), "rw")) {
                cut.setLength(2 * MEBI);
                cut.setLength(4 * MEBI);
            }
            assertThat(rig.extents(3 * MEBI, MEBI)).containsExactly("3145728+1048576 data");
        }
    }

    @ParameterizedTest
    @CsvSource({"IO_URING", "EPOLL"})
    void holesAreSeenInWhatWasKnownToBeData(EventLoops.Kind kind) throws Exception {
        Path file = folder.resolve("run");
        Files.write(file, filledBytes(4 * MEBI));
        try (Rig rig = new Rig(kind, file, FileOptions.CACHED)) {
            assertThat(rig.extents(0, MEBI)).containsExactly("0+1048576 data");
            rig.succeed(end -> rig.device.writeZeroes(MEBI, MEBI, 0, end));
            assertThat(rig.extents(0, 3 * MEBI))
                    .containsExactly("0+1048576 data", "1048576+1048576 hole", "2097152+1048576 data");
            rig.succeed(end -> rig.device.discard(3 * MEBI, MEBI, 0, end));
            assertThat(rig.extents(2 * MEBI, 2 * MEBI)).containsExactly("2097152+1048576 data", "3145728+1048576 hole");
        }
    }

    private static byte[] filledBytes(int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 7);
        return bytes;
    }

    private static long allocated(Path file) {
        int descriptor = Linux.open(file.toString(), Linux.O_RDONLY, 0);
        Linux.sync(descriptor);
        long bytes = Linux.facts(descriptor).allocatedBytes();
        Linux.close(descriptor);
        return bytes;
    }

    @ParameterizedTest
    @CsvSource({"1048576", "1049088"})
    void pastThePageCacheAFileOfWholePagesIsTakenInWholePages(long sizeBytes) throws Exception {
        Path file = folder.resolve("disk");
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(sizeBytes);
        }
        int kernelAsks = directAlignmentBytes(file);
        assumeThat(sizeBytes % kernelAsks).isZero();
        try (Rig rig = new Rig(EventLoops.Kind.EPOLL, file, FileOptions.DIRECT)) {
            int expected = sizeBytes % 4096 == 0 ? Math.max(4096, kernelAsks) : kernelAsks;
            assertThat(rig.device.geometry().blockSizeBytes()).isEqualTo(expected);
        }
    }

    /** As the kernel tells it; a page where it does not. */
    private static int directAlignmentBytes(Path file) {
        int opened = Linux.open(file.toString(), Linux.O_RDONLY, 0);
        try {
            int told = Linux.facts(opened).directAlignmentBytes();
            return told > 0 ? told : 4096;
        } finally {
            Linux.close(opened);
        }
    }
}
