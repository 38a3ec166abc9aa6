package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An image in a file that may not grow as far as the disk would need: it is filled as far as that goes, and stays whole. */
@Timeout(value = 30, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class BoundedFileTest {
    private static final int CLUSTER_BITS = 9;
    private static final int CLUSTER = 1 << CLUSTER_BITS;

    private int filled(int boundClusters, int refcountOrder) throws Exception {
        SimLoop loop = new SimLoop(1);
        MemoryDisk memory = MemoryDisk.growing((long) boundClusters * CLUSTER);
        BlockDevice file = CheckedDevice.of(memory, "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        int sizeBytes = 2 * boundClusters * CLUSTER;
        Qcow2Creator.create(
                bytes,
                sizeBytes,
                Qcow2Options.DEFAULT.withClusterBits(CLUSTER_BITS).withRefcountOrder(refcountOrder));
        BlockDevice disk = new Qcow2Device(
                loop,
                file,
                Qcow2Image.openForWriting(bytes),
                null,
                BufferPool.ofBytes(8 << 20),
                loop,
                Qcow2Settings.DEFAULT);
        IoBuffer cluster = IoBuffer.allocate(CLUSTER);
        IoBuffer found = IoBuffer.allocate(CLUSTER);
        cluster.segment().fill((byte) 7);
        int written = 0;
        @Nullable BlockError error = null;
        while (error == null) {
            long offset = (long) written * CLUSTER;
            error = OnLoop.await(loop, end -> disk.write(offset, cluster, 0, CLUSTER, 0, end));
            written += error == null ? 1 : 0;
        }
        assertThat(error.kind()).isEqualTo(ErrorKind.NO_SPACE);
        for (int at = 0; at < written; at++) {
            long offset = (long) at * CLUSTER;
            assertThat(OnLoop.await(loop, end -> disk.read(offset, found, 0, CLUSTER, end)))
                    .isNull();
            assertThat(found.segment().mismatch(cluster.segment())).isNegative();
        }
        assertThat(OnLoop.await(loop, disk::close)).isNull();
        CheckReport report =
                Qcow2Checker.check(new LoopBytes(loop, CheckedDevice.of(memory, "file")), Qcow2Checker.Repair.NONE);
        assertThat(report.corruptions()).as(report.toString()).isZero();
        return written;
    }

    /** Around each place where one block of counts more is needed, and a table that is longer. */
    @ParameterizedTest
    @ValueSource(ints = {4, 6})
    void isFilledAsFarAsItGoes(int refcountOrder) throws Exception {
        for (int boundClusters = 200; boundClusters < 900; boundClusters += 7) {
            int written = filled(boundClusters, refcountOrder);
            assertThat(written).as("of %d clusters", boundClusters).isGreaterThan(boundClusters * 3 / 4);
        }
    }

    @Test
    void oneWithRoomForItsTablesAloneTakesNothing() throws Exception {
        assertThat(filled(60, 4)).isBetween(0, 60);
    }
}
