package dev.ferry.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * What every {@link BlockDevice} must do. Each device, filter and format has a small subclass that opens it; the device is
 * driven through the checked boundary, as in a stack.
 */
public abstract class BlockDeviceContract {
    private static final int KIB = 1024;

    private final List<BlockDevice> open = new ArrayList<>();

    /** The loop of the devices that {@link #open} gives: a {@link SimLoop}, or a real one that runs. */
    protected abstract Loop loop();

    /** Opens a new device of this size, which reads as zeroes. Called on the test's thread. */
    protected abstract BlockDevice open(long sizeBytes) throws Exception;

    /** The size of most disks here; not a multiple of much. */
    protected long sizeBytes() {
        return (4 << 20) + 12 * KIB;
    }

    /** A size whose last block is short, or one that the device can have. */
    protected long oddSizeBytes() {
        return (1 << 20) + 512 + 7;
    }

    @AfterEach
    protected void closeAll() {
        for (BlockDevice device : open) {
            assertThat(OnLoop.await(loop(), device::close)).isNull();
        }
    }

    // ---- driving it

    /** Opens a device behind the checked boundary; closed after the test. */
    protected final BlockDevice device(long sizeBytes) {
        try {
            BlockDevice device = CheckedDevice.of(open(sizeBytes), "contract");
            assertThat(device.geometry().sizeBytes()).isEqualTo(sizeBytes);
            open.add(device);
            return device;
        } catch (Exception failure) {
            throw new AssertionError("cannot open the device under test", failure);
        }
    }

    private void ok(Consumer<Completion> command) {
        BlockError error = OnLoop.await(loop(), command);
        assertThat(error).isNull();
    }

    private void refused(ErrorKind kind, Consumer<Completion> command) {
        BlockError error = OnLoop.await(loop(), command);
        assertThat(error == null ? null : error.kind()).isEqualTo(kind);
    }

    private static IoBuffer buffer(byte[] bytes) {
        IoBuffer buffer = IoBuffer.allocate(Math.max(1, bytes.length));
        buffer.copyFrom(bytes, 0, 0, bytes.length);
        return buffer;
    }

    private static byte[] random(int length, long seed) {
        byte[] bytes = new byte[length];
        new SplittableRandom(seed).nextBytes(bytes);
        return bytes;
    }

    private void write(BlockDevice device, long offset, byte[] bytes, int flags) {
        IoBuffer buffer = buffer(bytes);
        ok(end -> device.write(offset, buffer, 0, bytes.length, flags, end));
    }

    private byte[] read(BlockDevice device, long offset, int length) {
        IoBuffer buffer = IoBuffer.allocate(length);
        ok(end -> device.read(offset, buffer, 0, length, end));
        byte[] bytes = new byte[length];
        buffer.copyTo(0, bytes, 0, length);
        return bytes;
    }

    private int block(BlockDevice device) {
        return Math.max(device.geometry().blockSizeBytes(), 1);
    }

    // ---- the contract

    @Test
    void aNewDiskReadsAsZeroes() {
        BlockDevice device = device(sizeBytes());
        assertThat(read(device, 0, 64 * KIB)).isEqualTo(new byte[64 * KIB]);
        assertThat(read(device, sizeBytes() - 4096, 4096)).isEqualTo(new byte[4096]);
    }

    @Test
    void whatWasWrittenIsRead() {
        BlockDevice device = device(sizeBytes());
        byte[] bytes = random(128 * KIB, 1);
        write(device, 4096, bytes, 0);
        assertThat(read(device, 4096, bytes.length)).isEqualTo(bytes);
        assertThat(read(device, 0, 4096)).isEqualTo(new byte[4096]);
        assertThat(read(device, 4096L + bytes.length, 4096)).isEqualTo(new byte[4096]);
    }

    @Test
    void theSmallestBlocksAndTheMiddleOfABufferWork() {
        BlockDevice device = device(sizeBytes());
        int block = block(device);
        byte[] bytes = random(3 * block, 2);
        IoBuffer buffer = IoBuffer.allocate(8 * block + 4096);
        buffer.copyFrom(bytes, 0, block, bytes.length);
        ok(end -> device.write(5L * block, buffer, block, 3 * block, 0, end));
        ok(end -> device.read(5L * block, buffer, 4 * block, 3 * block, end));
        byte[] back = new byte[bytes.length];
        buffer.copyTo(4 * block, back, 0, back.length);
        assertThat(back).isEqualTo(bytes);
        assertThat(read(device, 4L * block, block)).isEqualTo(new byte[block]);
        assertThat(read(device, 8L * block, block)).isEqualTo(new byte[block]);
    }

    @Test
    void rangesOutsideTheDiskAreRefused() {
        BlockDevice device = device(sizeBytes());
        IoBuffer buffer = IoBuffer.allocate(8192);
        refused(ErrorKind.INVALID, end -> device.read(sizeBytes(), buffer, 0, 4096, end));
        refused(ErrorKind.INVALID, end -> device.read(sizeBytes() - 4096, buffer, 0, 8192, end));
        refused(ErrorKind.INVALID, end -> device.write(-4096, buffer, 0, 4096, 0, end));
        refused(ErrorKind.INVALID, end -> device.writeZeroes(0, sizeBytes() + 4096, 0, end));
        refused(ErrorKind.INVALID, end -> device.discard(Long.MAX_VALUE - 4095, 8192, 0, end));
        refused(ErrorKind.INVALID, end -> device.write(0, buffer, 4096, 8192, 0, end));
    }

    @Test
    void zeroesAreZeroesAndNothingElse() {
        BlockDevice device = device(sizeBytes());
        byte[] bytes = random(256 * KIB, 3);
        write(device, 0, bytes, 0);
        ok(end -> device.writeZeroes(64 * KIB, 64 * KIB, 0, end));
        ok(end -> device.writeZeroes(192 * KIB, 4096, RequestFlags.NO_HOLE | RequestFlags.FUA, end));
        Arrays.fill(bytes, 64 * KIB, 128 * KIB, (byte) 0);
        Arrays.fill(bytes, 192 * KIB, 196 * KIB, (byte) 0);
        assertThat(read(device, 0, bytes.length)).isEqualTo(bytes);
    }

    @Test
    void fastZeroesAreZeroesOrRefusedWithNothingChanged() {
        BlockDevice device = device(sizeBytes());
        byte[] bytes = random(64 * KIB, 4);
        write(device, 0, bytes, 0);
        BlockError error = OnLoop.await(loop(), end -> device.writeZeroes(0, 64 * KIB, RequestFlags.FAST_ZERO, end));
        if (error == null) {
            Arrays.fill(bytes, (byte) 0);
        } else {
            assertThat(error.kind()).isEqualTo(ErrorKind.UNSUPPORTED);
        }
        assertThat(read(device, 0, bytes.length)).isEqualTo(bytes);
    }

    @Test
    void whatWasDiscardedReadsAsZeroes() {
        BlockDevice device = device(sizeBytes());
        byte[] bytes = random(256 * KIB, 5);
        int block = block(device);
        write(device, 0, bytes, 0);
        ok(end -> device.discard(block, 100 * KIB, 0, end));
        Arrays.fill(bytes, block, block + 100 * KIB, (byte) 0);
        assertThat(read(device, 0, bytes.length)).isEqualTo(bytes);
    }

    @Test
    void flushAndFuaSucceed() {
        BlockDevice device = device(sizeBytes());
        byte[] bytes = random(8192, 6);
        ok(device::flush);
        write(device, 0, bytes, RequestFlags.FUA);
        write(device, 8192, bytes, 0);
        ok(device::flush);
        ok(end -> device.discard(0, 4096, RequestFlags.FUA, end));
        assertThat(read(device, 4096, 4096)).isEqualTo(Arrays.copyOfRange(bytes, 4096, 8192));
        assertThat(read(device, 8192, 8192)).isEqualTo(bytes);
    }

    @Test
    void extentsAreInOrderWithoutGapsAndTrue() {
        BlockDevice device = device(sizeBytes());
        write(device, 128 * KIB, random(64 * KIB, 7), 0);
        ok(end -> device.writeZeroes(1 << 20, 64 * KIB, RequestFlags.NO_HOLE, end));
        byte[] content = read(device, 0, (int) sizeBytes());
        long[] at = {0};
        while (at[0] < sizeBytes()) {
            long from = at[0];
            ok(end -> device.extents(
                    from,
                    sizeBytes() - from,
                    (offset, length, state) -> {
                        assertThat(offset).isEqualTo(at[0]);
                        assertThat(length).isPositive();
                        at[0] += length;
                        assertThat(at[0]).isLessThanOrEqualTo(sizeBytes());
                        if ((state & ExtentSink.ZERO) != 0) {
                            byte[] part = Arrays.copyOfRange(content, (int) offset, (int) at[0]);
                            assertThat(part).isEqualTo(new byte[part.length]);
                        }
                    },
                    end));
            assertThat(at[0]).as("extents go on").isGreaterThan(from);
        }
    }

    @Test
    void oneLargeRequestWorks() {
        BlockDevice device = device(40L << 20);
        int length = Math.min(32 << 20, device.geometry().maxTransferBytes());
        byte[] bytes = random(length, 8);
        write(device, 1 << 20, bytes, 0);
        assertThat(Arrays.equals(read(device, 1 << 20, length), bytes)).isTrue();
    }

    @Test
    void theEndOfADiskOfOddSizeCanBeUsed() {
        long size = oddSizeBytes();
        BlockDevice device = device(size);
        int block = block(device);
        long last = (size - 1) / block * block;
        byte[] bytes = random((int) (size - last), 9);
        write(device, last, bytes, 0);
        assertThat(read(device, last, bytes.length)).isEqualTo(bytes);
        ok(end -> device.writeZeroes(last, bytes.length, 0, end));
        assertThat(read(device, last, bytes.length)).isEqualTo(new byte[bytes.length]);
        ok(end -> device.discard(0, size, 0, end));
    }

    @Test
    void overlappingChangesOneAfterTheOtherLeaveTheLast() {
        BlockDevice device = device(sizeBytes());
        byte[] first = random(64 * KIB, 10);
        byte[] second = random(32 * KIB, 11);
        write(device, 0, first, 0);
        write(device, 16 * KIB, second, 0);
        System.arraycopy(second, 0, first, 16 * KIB, second.length);
        assertThat(read(device, 0, first.length)).isEqualTo(first);
    }

    @Test
    void randomRequestsInBatchesLeaveWhatTheModelSays() {
        Seeds.run(seed -> {
            BlockDevice device = device(sizeBytes());
            new RandomLoad(loop(), device, seed).run(400);
        });
    }

    @Test
    void aClosedDeviceRefuses() {
        BlockDevice device = device(sizeBytes());
        IoBuffer buffer = IoBuffer.allocate(4096);
        ok(device::close);
        refused(ErrorKind.CLOSED, end -> device.read(0, buffer, 0, 4096, end));
        refused(ErrorKind.CLOSED, device::flush);
    }
}
