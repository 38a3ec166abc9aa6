package dev.ferry.stack;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.FilePatch;
import dev.ferry.image.Patches;
import dev.ferry.image.qcow2.SnapshotImage;
import dev.ferry.image.qcow2.SnapshotTables;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.PassingDevice;
import dev.ferry.testkit.Stranger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A file with some of its bytes replaced reads as if they had been written, and says where it has none. */
@Timeout(60)
class PatchedFileTest {
    private static final int BOUND = 8 << 20;
    private static final int SIZE = 1 << 20;
    private static final int PAGE = 4096;
    private static final int REQUESTS = 200;

    @TempDir
    Path directory;

    private EventLoops loops;
    private ReactorLoop loop;

    @BeforeEach
    void start() {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        loop = new ReactorLoop(loops.all().getFirst());
    }

    @AfterEach
    void end() {
        loops.close();
    }

    private DeviceBytes bytes(BlockDevice file) {
        return new DeviceBytes(loop, file, "file");
    }

    /** Every second stretch of it is a hole. */
    private static byte[] fill(MemoryDisk file, SplittableRandom random) {
        byte[] model = new byte[SIZE];
        for (int at = 0; at < SIZE; ) {
            int pages = 1 + random.nextInt(8);
            byte[] piece = new byte[Math.min(pages * PAGE, SIZE - at)];
            random.nextBytes(piece);
            file.fill(at, piece);
            System.arraycopy(piece, 0, model, at, piece.length);
            at += piece.length + PAGE * (1 + random.nextInt(8));
        }
        // It ends where its last byte is.
        file.fill(SIZE - 1, new byte[] {1});
        model[SIZE - 1] = 1;
        return model;
    }

    private byte[] read(BlockDevice device, int offset, int length) {
        byte[] bytes = new byte[length];
        IoBuffer buffer = IoBuffer.allocate(length + 3);
        // What was in the buffer is nothing that is read.
        Arrays.fill(bytes, (byte) 0x5a);
        buffer.copyFrom(bytes, 0, 3, length);
        assertThat(OnLoop.await(loop, end -> device.read(offset, buffer, 3, length, end)))
                .isNull();
        buffer.copyTo(3, bytes, 0, length);
        return bytes;
    }

    /** State of every byte, as extents tell it that are asked for one after the other. */
    private byte[] states(BlockDevice device, int length) {
        byte[] states = new byte[length];
        Arrays.fill(states, (byte) -1);
        int[] to = {0};
        while (to[0] < length) {
            int from = to[0];
            ExtentSink sink = (offset, bytes, state) -> {
                assertThat(offset).isEqualTo(to[0]);
                Arrays.fill(states, (int) offset, (int) (offset + bytes), (byte) state);
                to[0] += (int) bytes;
            };
            assertThat(OnLoop.await(loop, end -> device.extents(from, length - from, sink, end)))
                    .isNull();
            assertThat(to[0]).isGreaterThan(from);
        }
        return states;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void aFileReadsAsIfThePatchWereWritten(long seed) throws Exception {
        SplittableRandom random = new SplittableRandom(seed);
        MemoryDisk file = MemoryDisk.growing(BOUND);
        byte[] content = fill(file, random);
        int length = SIZE + random.nextInt(-SIZE / 2, SIZE / 2);
        byte[] model = Arrays.copyOf(content, length);
        boolean[] patched = new boolean[length];
        Patches patches = new Patches(bytes(file));
        patches.resize(length);
        for (int i = 0; i < 12; i++) {
            byte[] piece = new byte[1 + random.nextInt(random.nextBoolean() ? 40 : 3 * PAGE)];
            random.nextBytes(piece);
            int at = random.nextInt(length - piece.length);
            patches.write(at, piece);
            System.arraycopy(piece, 0, model, at, piece.length);
            Arrays.fill(patched, at, at + piece.length, true);
        }
        BlockDevice seen = CheckedDevice.of(new PatchedFile(file, patches), "seen");
        assertThat(seen.geometry().sizeBytes()).isEqualTo(length);
        assertThat(read(seen, 0, length)).isEqualTo(model);
        for (int i = 0; i < REQUESTS; i++) {
            int at = random.nextInt(length);
            int bytes = 1 + random.nextInt(Math.min(length - at, i % 2 == 0 ? 100 : 5 * PAGE));
            assertThat(read(seen, at, bytes)).isEqualTo(Arrays.copyOfRange(model, at, at + bytes));
        }
        byte[] states = states(seen, length);
        byte[] below = states(file, SIZE);
        for (int at = 0; at < length; at++) {
            int expected = patched[at] ? 0 : at < SIZE ? below[at] : ExtentSink.HOLE | ExtentSink.ZERO;
            if (states[at] != expected) {
                assertThat(states[at]).as("at %d", at).isEqualTo((byte) expected);
            }
        }
        assertThat(file.bytes(0, SIZE)).isEqualTo(content);
    }

    @ParameterizedTest
    @ValueSource(longs = {7, 8})
    void theSnapshotsOfADiskAreAnImageThatQemuFindsSound(long seed) throws Exception {
        SplittableRandom random = new SplittableRandom(seed);
        Path image = directory.resolve("disk.qcow2");
        Stranger.succeeds("qemu-img", "create", "-q", "-f", "qcow2", image, SIZE);
        Stranger.succeeds("qemu-io", "-f", "qcow2", "-c", write(random, 1), "-c", write(random, 2), image);
        Stranger.succeeds("qemu-img", "snapshot", "-c", "kept", image);
        Path before = directory.resolve("before.raw");
        Stranger.succeeds("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, before);
        Stranger.succeeds("qemu-io", "-f", "qcow2", "-c", "write -P 3 0 " + SIZE, image);
        MemoryDisk file = MemoryDisk.growing(BOUND);
        file.fill(0, Files.readAllBytes(image));
        SnapshotImage snapshots = SnapshotImage.of(bytes(file), SnapshotTables.of(bytes(file)), null);
        BlockDevice seen = CheckedDevice.of(new PatchedFile(file, snapshots), "seen");
        int length = Math.toIntExact(snapshots.lengthBytes());
        byte[] whole = read(seen, 0, length);
        byte[] states = states(seen, length);
        boolean free = false;
        for (int at = 0; at < length; at++) {
            if (snapshots.part(at) == FilePatch.Part.FREE) {
                free = true;
                assertThat(states[at]).isEqualTo((byte) (ExtentSink.HOLE | ExtentSink.ZERO));
                assertThat(whole[at]).isZero();
            } else if ((states[at] & ExtentSink.HOLE) != 0) {
                assertThat(whole[at]).isZero();
            }
        }
        assertThat(free).as("what only the disk has is left out").isTrue();
        Path copy = Files.write(directory.resolve("copy.qcow2"), whole);
        Stranger.succeeds("qemu-img", "check", "-q", "-f", "qcow2", copy);
        Stranger.succeeds("qemu-img", "snapshot", "-a", "kept", copy);
        Stranger.succeeds("qemu-img", "compare", "-f", "qcow2", "-F", "raw", copy, before);
    }

    private static String write(SplittableRandom random, int pattern) {
        int at = random.nextInt(8) * (SIZE / 16);
        return "write -P " + pattern + " " + at + " " + SIZE / 8;
    }

    @Test
    void whatTheFileRefusesToReadIsNotRead() throws Exception {
        MemoryDisk content = new MemoryDisk(SIZE);
        BlockError broken = BlockError.of(ErrorKind.IO, "file", "read", "broken");
        BlockDevice file = new PassingDevice(content) {
            @Override
            protected Completion ending(Completion completion) {
                return error -> completion.complete(broken);
            }
        };
        Patches patches = new Patches(bytes(content));
        patches.write(SIZE / 2, new byte[] {1});
        PatchedFile seen = new PatchedFile(file, patches);
        assertThat(OnLoop.await(loop, end -> seen.read(0, IoBuffer.allocate(SIZE), 0, SIZE, end)))
                .isSameAs(broken);
    }

    @Test
    void nothingIsChangedAndTheFileStaysOpen() throws Exception {
        boolean[] closed = new boolean[1];
        MemoryDisk content = new MemoryDisk(SIZE);
        BlockDevice file = new PassingDevice(content) {
            @Override
            public void close(Completion completion) {
                closed[0] = true;
                super.close(completion);
            }

            @Override
            public boolean locate(long offset, int length, FileRange range) {
                return true;
            }
        };
        Patches patches = new Patches(bytes(content));
        patches.write(PAGE, new byte[] {1, 2, 3});
        PatchedFile seen = new PatchedFile(file, patches);
        assertThat(seen.capabilities().readOnly()).isTrue();
        IoBuffer buffer = IoBuffer.allocate(PAGE);
        buffer.copyFrom(new byte[] {9}, 0, 0, 1);
        for (Request request : new Request[] {
            end -> seen.write(0, buffer, 0, PAGE, 0, end),
            end -> seen.writeZeroes(0, PAGE, 0, end),
            end -> seen.discard(0, PAGE, 0, end)
        }) {
            assertThat(OnLoop.await(loop, request::submit))
                    .isNotNull()
                    .extracting(BlockError::kind)
                    .isEqualTo(ErrorKind.READ_ONLY);
        }
        assertThat(OnLoop.await(loop, seen::flush)).isNull();
        assertThat(content.bytes(0, SIZE)).isEqualTo(new byte[SIZE]);
        // The kernel knows nothing of the patch.
        assertThat(seen.locate(0, 2 * PAGE, new FileRange())).isFalse();
        assertThat(OnLoop.await(loop, seen::close)).isNull();
        assertThat(closed[0]).isFalse();
    }

    @FunctionalInterface
    private interface Request {
        void submit(Completion completion);
    }
}
