package dev.ferry.device;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Linux;
import dev.ferry.testkit.LoopMount;
import dev.ferry.testkit.OnLoop;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Copies that the file system makes, on real file systems. */
@Timeout(120)
class StoreCopyTest {
    private static final int MIB = 1 << 20;
    private static final int SIZE = 8 * MIB;
    private static final long STORE_BYTES = 400L * MIB;

    @TempDir
    Path folder;

    private final EventLoops loops = EventLoops.start(2, EventLoops.Kind.AUTO);
    private EventLoop events;
    private Loop loop;

    @BeforeEach
    void chooseLoop() {
        events = loops.all().getFirst();
        loop = new ReactorLoop(events);
    }

    @AfterEach
    void endLoops() {
        loops.close();
    }

    private static Path sparse(Path directory, String name, long bytes) throws IOException {
        Path file = directory.resolve(name);
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(bytes);
        }
        return file;
    }

    private BlockDevice open(Path file, boolean direct) throws IOException {
        return CheckedDevice.of(FileDevice.open(events, file, new FileOptions(false, direct)), file.toString());
    }

    private void close(BlockDevice... devices) {
        for (BlockDevice device : devices) {
            assertThat(OnLoop.await(loop, device::close)).isNull();
        }
    }

    private int unit(BlockDevice target, BlockDevice source) throws Exception {
        CompletableFuture<Integer> answer = new CompletableFuture<>();
        loop.execute(() -> answer.complete(target.offloadUnitBytes(source)));
        return answer.get(60, TimeUnit.SECONDS);
    }

    private void write(BlockDevice device, long offset, byte[] bytes) {
        IoBuffer buffer = IoBuffer.allocate(bytes.length);
        buffer.copyFrom(bytes, 0, 0, bytes.length);
        assertThat(OnLoop.await(loop, end -> device.write(offset, buffer, 0, bytes.length, 0, end)))
                .isNull();
    }

    private byte[] read(BlockDevice device, long offset, int length) {
        IoBuffer buffer = IoBuffer.allocate(length);
        assertThat(OnLoop.await(loop, end -> device.read(offset, buffer, 0, length, end)))
                .isNull();
        byte[] bytes = new byte[length];
        buffer.copyTo(0, bytes, 0, length);
        return bytes;
    }

    private static byte[] noise(int length, long seed) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    private static long allocated(Path path) {
        int file = Linux.open(path.toString(), Linux.O_RDONLY, 0);
        try {
            return Linux.facts(file).allocatedBytes();
        } finally {
            Linux.close(file);
        }
    }

    private @Nullable BlockError copy(BlockDevice target, BlockDevice source, long offset, long length) {
        return OnLoop.await(loop, end -> target.copyFrom(source, offset, length, end));
    }

    @ParameterizedTest
    @CsvSource({
        "xfs, false, false", "xfs, true, true", "xfs, true, false", "xfs, false, true",
        "btrfs, false, false", "btrfs, true, true", "btrfs, true, false", "btrfs, false, true",
    })
    void filesShareWhatIsCopied(String kind, boolean sourceDirect, boolean targetDirect) throws Exception {
        try (LoopMount mount = LoopMount.of(folder, kind, STORE_BYTES)) {
            Path from = sparse(mount.path(), "from", SIZE);
            Path to = sparse(mount.path(), "to", SIZE);
            BlockDevice source = open(from, sourceDirect);
            BlockDevice target = open(to, targetDirect);
            assertThat(unit(target, source)).isPositive().isLessThanOrEqualTo(64 << 10);

            // Not flushed: what is shared is what was written, wherever it is now; and the target forgets what it had.
            byte[] data = noise(256 << 10, 1);
            write(source, MIB, data);
            write(target, MIB, noise(512 << 10, 2));
            assertThat(read(target, MIB, 4096)).isNotEqualTo(Arrays.copyOf(data, 4096));
            assertThat(copy(target, source, MIB, MIB)).isNull();
            byte[] expected = Arrays.copyOf(data, MIB);
            assertThat(read(target, MIB, MIB)).isEqualTo(expected);

            // Holes are holes: half of what the target had is gone.
            assertThat(OnLoop.await(loop, target::flush)).isNull();
            assertThat(allocated(to)).isEqualTo(allocated(from)).isLessThanOrEqualTo(data.length + 4096L);

            // From then on each has its own.
            byte[] later = noise(8192, 3);
            write(source, MIB + 4096, later);
            assertThat(read(target, MIB, MIB)).isEqualTo(expected);
            write(target, MIB + (64 << 10), later);
            System.arraycopy(later, 0, expected, 64 << 10, later.length);
            assertThat(read(target, MIB, MIB)).isEqualTo(expected);
            assertThat(read(source, MIB + 4096, later.length)).isEqualTo(later);
            assertThat(read(source, MIB + (64 << 10), later.length))
                    .isEqualTo(Arrays.copyOfRange(data, 64 << 10, (64 << 10) + later.length));
            close(source, target);
        }
    }

    /** A guest that writes while its disk is shared region after region loses nothing on its own side. */
    @ParameterizedTest
    @CsvSource({"xfs, false", "xfs, true", "btrfs, false", "btrfs, true"})
    void theSourceCanBeWrittenMeanwhile(String kind, boolean direct) throws Exception {
        try (LoopMount mount = LoopMount.of(folder, kind, STORE_BYTES)) {
            Path from = sparse(mount.path(), "from", SIZE);
            BlockDevice source = open(from, direct);
            BlockDevice target = open(sparse(mount.path(), "to", SIZE), direct);
            byte[] model = noise(SIZE, 4);
            write(source, 0, model);
            Random random = new Random(5);
            for (int round = 0; round < 3; round++) {
                for (int region = 0; region < SIZE / MIB; region++) {
                    long at = (long) region * MIB;
                    CompletableFuture<@Nullable BlockError> copied = new CompletableFuture<>();
                    loop.execute(() -> target.copyFrom(source, at, MIB, copied::complete));
                    for (int i = 0; i < 8; i++) {
                        int place = (region * MIB + random.nextInt(MIB - 4096)) & -4096;
                        byte[] block = noise(4096, random.nextLong());
                        write(source, place, block);
                        System.arraycopy(block, 0, model, place, block.length);
                    }
                    assertThat(copied.get(60, TimeUnit.SECONDS)).isNull();
                }
            }
            assertThat(read(source, 0, SIZE)).isEqualTo(model);
            assertThat(copy(target, source, 0, SIZE)).isNull();
            assertThat(read(target, 0, SIZE)).isEqualTo(model);
            close(source, target);
            assertThat(Files.readAllBytes(mount.path().resolve("to"))).isEqualTo(model);
        }
    }

    @Test
    void whereTheStoreDoesNotCopyItSaysSo() throws Exception {
        try (LoopMount xfs = LoopMount.of(folder, "xfs", STORE_BYTES);
                LoopMount other = LoopMount.of(folder, "xfs", STORE_BYTES);
                LoopMount ext4 = LoopMount.of(folder, "ext4", 64L * MIB)) {
            BlockDevice here = open(sparse(xfs.path(), "here", SIZE), false);
            BlockDevice there = open(sparse(other.path(), "there", SIZE), false);
            BlockDevice plain = open(sparse(ext4.path(), "plain", SIZE), false);
            BlockDevice same = open(sparse(ext4.path(), "same", SIZE), false);
            BlockDevice readOnly = CheckedDevice.of(
                    FileDevice.open(events, sparse(xfs.path(), "read", SIZE), FileOptions.CACHED.asReadOnly()), "r");
            BlockDevice elsewhere =
                    FileDevice.open(loops.all().getLast(), sparse(xfs.path(), "elsewhere", SIZE), FileOptions.CACHED);
            assertThat(unit(here, there)).isZero();
            assertThat(unit(here, plain)).isZero();
            assertThat(unit(plain, same)).isZero();
            assertThat(unit(here, here)).isZero();
            assertThat(unit(readOnly, here)).isZero();
            assertThat(unit(here, readOnly)).isPositive();
            assertThat(unit(here, elsewhere)).isZero();
            assertThat(unit(here, new MemoryDevice(SIZE))).isZero();
            assertThat(Objects.requireNonNull(copy(here, there, 0, MIB)).kind()).isEqualTo(ErrorKind.UNSUPPORTED);
            assertThat(Objects.requireNonNull(copy(here, readOnly, 1, MIB)).kind())
                    .isEqualTo(ErrorKind.INVALID);
            close(here, there, plain, same, readOnly);
            assertThat(OnLoop.await(new ReactorLoop(loops.all().getLast()), elsewhere::close))
                    .isNull();
        }
    }

    /** Two that cannot be told apart before it is tried. */
    @Test
    void aRefusalIsUnsupportedWhateverItsReason() throws Exception {
        try (LoopMount one = LoopMount.of(folder, "btrfs", STORE_BYTES);
                LoopMount two = LoopMount.of(folder, "btrfs", STORE_BYTES)) {
            BlockDevice source = open(sparse(one.path(), "from", SIZE), false);
            BlockDevice target = open(sparse(two.path(), "to", SIZE), false);
            assertThat(unit(target, source)).isPositive();
            BlockError error = Objects.requireNonNull(copy(target, source, 0, MIB));
            assertThat(error.kind()).isEqualTo(ErrorKind.UNSUPPORTED);
            assertThat(error.message())
                    .contains("share of 1048576 bytes at 0", two.path().toString());
            close(source, target);
        }
    }

    @Test
    void aSourceThatIsClosedStaysOpenUntilTheCopyHasEnded() throws Exception {
        try (LoopMount mount = LoopMount.of(folder, "xfs", STORE_BYTES)) {
            BlockDevice source = open(sparse(mount.path(), "from", SIZE), false);
            BlockDevice target = open(sparse(mount.path(), "to", SIZE), false);
            byte[] data = noise(SIZE, 6);
            write(source, 0, data);
            CompletableFuture<@Nullable BlockError> copied = new CompletableFuture<>();
            CompletableFuture<Boolean> copiedBefore = new CompletableFuture<>();
            loop.execute(() -> {
                target.copyFrom(source, 0, SIZE, copied::complete);
                source.close(error -> loop.execute(() -> copiedBefore.complete(error == null && copied.isDone())));
            });
            assertThat(copiedBefore.get(60, TimeUnit.SECONDS)).isTrue();
            assertThat(copied.get()).isNull();
            assertThat(read(target, 0, SIZE)).isEqualTo(data);
            close(target);
        }
    }

    /** What a file server would do, done by file systems that every machine has. */
    @ParameterizedTest
    @ValueSource(strings = {"ext4", "tmpfs", "xfs", "btrfs"})
    void copyFileRangeCopiesExactlyTheRange(String kind) throws Exception {
        @Nullable LoopMount mount = kind.equals("tmpfs") ? null : LoopMount.of(folder, kind, STORE_BYTES);
        Path directory = mount == null ? Files.createTempDirectory(Path.of("/dev/shm"), "ferry-test") : mount.path();
        try {
            FileDevice source = FileDevice.open(events, sparse(directory, "from", SIZE), FileOptions.CACHED);
            FileDevice target = FileDevice.open(events, sparse(directory, "to", SIZE), FileOptions.CACHED);
            byte[] model = noise(SIZE, 7);
            byte[] data = noise(SIZE, 8);
            write(target, 0, model);
            write(source, 0, data);
            for (int[] range : new int[][] {{0, 4096}, {MIB, 3 * MIB}, {SIZE - 8192, 8192}}) {
                assertThat(OnLoop.await(
                                loop,
                                end -> new StoreCopy(StoreCopy.Kind.RANGE, source, target, range[0], range[1], end)
                                        .start(events)))
                        .isNull();
                System.arraycopy(data, range[0], model, range[0], range[1]);
            }
            assertThat(read(target, 0, SIZE)).isEqualTo(model);
            close(source, target);
        } finally {
            for (String name : new String[] {"from", "to"}) {
                Files.deleteIfExists(directory.resolve(name));
            }
            if (mount != null) {
                mount.close();
            } else {
                Files.deleteIfExists(directory);
            }
        }
    }
}
