package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.ForwardingDevice;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.util.Arrays;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What each way of provisioning promises, and that an image keeps it. */
class ProvisioningTest {
    private static final int SIZE = (9 << 20) + 4096 + 100;

    private final SimLoop loop = new SimLoop(3);
    private final MemoryDisk disk = new MemoryDisk(SIZE);
    private final BlockDevice file = CheckedDevice.of(disk, "file");

    @ParameterizedTest
    @EnumSource(Provisioning.class)
    void aProvisionedDiskReadsAsZeroesHasItsRoomAndIsDurable(Provisioning provisioning) {
        assertThat(provision(provisioning)).isNull();
        assertThat(disk.bytes(0, SIZE)).isEqualTo(new byte[SIZE]);
        if (provisioning == Provisioning.THIN) {
            assertThat(disk.allocatedBytes()).isZero();
        } else {
            assertThat(disk.allocatedBytes()).isGreaterThanOrEqualTo(SIZE);
        }
        assertThat(disk.flushes()).isPositive();
    }

    /** On a file system that cannot reserve what nothing was written to, the room is taken by zeroes. */
    @Test
    void whatCannotBeReservedIsWritten() {
        BlockDevice cannot = new ForwardingDevice(file) {
            @Override
            public void writeZeroes(long offset, long length, int flags, Completion completion) {
                completion.complete(BlockError.of(ErrorKind.UNSUPPORTED, "file", "zero", "no fallocate"));
            }
        };
        assertThat(OnLoop.await(loop, done -> new Provisioner(loop, cannot, Provisioning.LAZY, done).start()))
                .isNull();
        assertThat(disk.allocatedBytes()).isGreaterThanOrEqualTo(SIZE);
        assertThat(disk.bytes(0, SIZE)).isEqualTo(new byte[SIZE]);
    }

    @Test
    void provisioningCanBeCalledOff() {
        BlockError error = OnLoop.await(loop, done -> {
            Provisioner provisioner = new Provisioner(loop, file, Provisioning.EAGER, done);
            provisioner.start();
            provisioner.stop();
        });
        assertThat(error).isNotNull();
        assertThat(error == null ? null : error.kind()).isEqualTo(ErrorKind.CANCELLED);
        assertThat(disk.allocatedBytes()).isLessThan(SIZE);
    }

    @Test
    void thinGivesBackWhatIsDiscardedOrZeroed() {
        RawImage image = new RawImage(file, Provisioning.THIN);
        disk.fill(0, ones(1 << 20));
        long before = disk.allocatedBytes();
        ok(done -> image.discard(0, 256 << 10, 0, done));
        ok(done -> image.writeZeroes(512 << 10, 256 << 10, 0, done));
        assertThat(disk.allocatedBytes()).isEqualTo(before - (512 << 10));
        assertThat(disk.bytes(0, 256 << 10)).containsOnly(0);
    }

    @ParameterizedTest
    @EnumSource(
            value = Provisioning.class,
            names = {"LAZY", "EAGER"})
    void thickKeepsItsRoomWhateverIsDiscardedOrZeroed(Provisioning provisioning) {
        provision(provisioning);
        RawImage image = new RawImage(file, provisioning);
        disk.fill(0, ones(1 << 20));
        long before = disk.allocatedBytes();
        ok(done -> image.discard(0, 256 << 10, 0, done));
        ok(done -> image.writeZeroes(512 << 10, 256 << 10, 0, done));
        assertThat(disk.allocatedBytes()).isEqualTo(before);
        assertThat(disk.bytes(0, 256 << 10)).containsOnly(0);
        assertThat(disk.bytes(512 << 10, 256 << 10)).containsOnly(0);
        assertThat(disk.bytes(256 << 10, 256 << 10)).containsOnly(1);
    }

    /** As file systems do that are full, and have no room for the note that a range is zero now. */
    @ParameterizedTest
    @EnumSource(Provisioning.class)
    void zeroesOfAThickDiskAreWrittenWhereNotingThemFails(Provisioning provisioning) {
        assertThat(provision(provisioning)).isNull();
        BlockDevice full = CheckedDevice.of(
                new ForwardingDevice(file) {
                    @Override
                    public void writeZeroes(long offset, long length, int flags, Completion completion) {
                        completion.complete(BlockError.of(ErrorKind.NO_SPACE, "file", "zero", "full"));
                    }

                    @Override
                    public void discard(long offset, long length, int flags, Completion completion) {
                        completion.complete(BlockError.of(ErrorKind.NO_SPACE, "file", "discard", "full"));
                    }
                },
                "full file");
        RawImage image = new RawImage(full, provisioning);
        disk.fill(0, ones(8 << 20));
        BlockError zeroed = OnLoop.await(loop, done -> image.writeZeroes(4096, (3 << 20) + 5, 0, done));
        BlockError discarded = OnLoop.await(loop, done -> image.discard(5 << 20, 1 << 20, 0, done));
        if (provisioning == Provisioning.THIN) {
            assertThat(zeroed == null ? null : zeroed.kind()).isEqualTo(ErrorKind.NO_SPACE);
            assertThat(discarded == null ? null : discarded.kind()).isEqualTo(ErrorKind.NO_SPACE);
            return;
        }
        assertThat(zeroed).isNull();
        assertThat(discarded).isNull();
        byte[] expected = ones(8 << 20);
        Arrays.fill(expected, 4096, 4096 + (3 << 20) + 5, (byte) 0);
        Arrays.fill(expected, 5 << 20, 6 << 20, (byte) 0);
        assertThat(disk.bytes(0, 8 << 20)).isEqualTo(expected);
    }

    @Test
    void onlyThinHasHoles() {
        int[] states = new int[1];
        ExtentSink sink = (offset, length, state) -> states[0] |= state;
        ok(done -> new RawImage(file, Provisioning.THIN).extents(0, SIZE, sink, done));
        assertThat(states[0]).isEqualTo(ExtentSink.HOLE | ExtentSink.ZERO);
        states[0] = 0;
        ok(done -> new RawImage(file, Provisioning.LAZY).extents(0, SIZE, sink, done));
        assertThat(states[0]).isEqualTo(ExtentSink.ZERO);
    }

    @Test
    void namesAreThoseThatPeopleWrite() {
        assertThat(Provisioning.of("thin")).contains(Provisioning.THIN);
        assertThat(Provisioning.of("lazy")).contains(Provisioning.LAZY);
        assertThat(Provisioning.of("eager")).contains(Provisioning.EAGER);
        assertThat(Provisioning.of("THIN")).isEmpty();
    }

    private @Nullable BlockError provision(Provisioning provisioning) {
        return OnLoop.await(loop, done -> new Provisioner(loop, file, provisioning, done).start());
    }

    private void ok(Consumer<Completion> request) {
        assertThat(OnLoop.await(loop, request)).isNull();
    }

    private static byte[] ones(int length) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 1);
        return bytes;
    }
}
