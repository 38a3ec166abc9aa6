package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.PassingDevice;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Requests to a cluster whose entry another request has just changed: none of them is acknowledged before that entry is in the
 * file, since it would be lost with the process then.
 */
class SharedClusterTest {
    private static final int SIZE = 1 << 20;
    private static final int SECTOR = 512;
    private static final int CLUSTER = 64 << 10;

    /** Keeps back what is shorter than a sector, as entries of the map are, while it is told to. */
    private static final class LateMap extends PassingDevice {
        private final List<Runnable> late = new ArrayList<>();
        private boolean holding;

        LateMap(BlockDevice next) {
            super(next);
        }

        @Override
        public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
            if (holding && length < SECTOR) {
                late.add(() -> next.write(offset, buffer, at, length, flags, completion));
            } else {
                next.write(offset, buffer, at, length, flags, completion);
            }
        }

        @Override
        public void resize(long lengthBytes, Completion completion) {
            next.resize(lengthBytes, completion);
        }

        @Override
        public long lengthBytes() {
            return next.lengthBytes();
        }

        void release() {
            holding = false;
            late.forEach(Runnable::run);
            late.clear();
        }
    }

    private final SimLoop loop = new SimLoop(1);
    private final LateMap late = new LateMap(MemoryDisk.growing(64 << 20));
    private final IoBuffer data = IoBuffer.allocate(CLUSTER);
    private Qcow2Device disk;
    private int ended;

    @BeforeEach
    void open() throws Exception {
        open(Qcow2Options.DEFAULT);
    }

    private void open(Qcow2Options options) throws Exception {
        late.release();
        BlockDevice file = CheckedDevice.of(late, "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        Qcow2Creator.create(bytes, SIZE, options);
        disk = new Qcow2Device(
                loop,
                file,
                Qcow2Image.openForWriting(bytes),
                null,
                BufferPool.ofBytes(8 << 20),
                loop,
                Qcow2Settings.DEFAULT);
        // So that there are clusters in reserve, and a table.
        assertThat(OnLoop.await(loop, end -> disk.write(SIZE / 2, data, 0, SECTOR, 0, end)))
                .isNull();
        late.holding = true;
    }

    private void ended(@Nullable BlockError error) {
        assertThat(error).isNull();
        ended++;
    }

    private void endTogether(int requests) {
        loop.runFor(10_000_000);
        assertThat(ended).as("while the entry is on its way").isZero();
        late.release();
        loop.runFor(10_000_000);
        assertThat(ended).isEqualTo(requests);
        assertThat(OnLoop.await(loop, disk::close)).isNull();
    }

    @Test
    void aWriteIntoAClusterThatIsNew() {
        disk.write(0, data, 0, SECTOR, 0, this::ended);
        disk.write(SECTOR, data, 0, SECTOR, 0, this::ended);
        loop.runFor(10_000_000);
        disk.write(8 * SECTOR, data, 0, SECTOR, 0, this::ended);
        endTogether(3);
    }

    @Test
    void writesIntoSubclustersThatAreNew() throws Exception {
        open(Qcow2Options.DEFAULT.withExtendedL2());
        disk.write(0, data, 0, SECTOR, 0, this::ended);
        disk.write(SECTOR, data, 0, SECTOR, 0, this::ended);
        disk.write(8192, data, 0, SECTOR, 0, this::ended);
        loop.runFor(10_000_000);
        disk.write(2 * SECTOR, data, 0, SECTOR, 0, this::ended);
        disk.writeZeroes(3 * SECTOR, SECTOR, 0, this::ended);
        disk.write(8192 + SECTOR, data, 0, SECTOR, 0, this::ended);
        endTogether(6);
    }

    @Test
    void zeroesWhereSubclustersHaveJustBecomeZeroes() throws Exception {
        open(Qcow2Options.DEFAULT.withExtendedL2());
        late.release();
        assertThat(OnLoop.await(loop, end -> disk.write(0, data, 0, CLUSTER, 0, end)))
                .isNull();
        late.holding = true;
        disk.discard(0, 8192, 0, this::ended);
        loop.runFor(10_000_000);
        disk.writeZeroes(SECTOR, SECTOR, 0, this::ended);
        disk.discard(4096, 4096, 0, this::ended);
        endTogether(3);
    }

    @Test
    void zeroesInAClusterThatIsNew() {
        disk.write(0, data, 0, SECTOR, 0, this::ended);
        loop.runFor(10_000_000);
        disk.writeZeroes(0, SECTOR, 0, this::ended);
        endTogether(2);
    }

    @Test
    void zeroesWhereThereAreNewZeroes() {
        late.release();
        assertThat(OnLoop.await(loop, end -> disk.write(0, data, 0, CLUSTER, 0, end)))
                .isNull();
        late.holding = true;
        disk.discard(0, CLUSTER, 0, this::ended);
        loop.runFor(10_000_000);
        disk.writeZeroes(SECTOR, SECTOR, 0, this::ended);
        endTogether(2);
    }
}
