package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.PassingDevice;
import dev.ferry.testkit.SimLoop;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Many requests wait for the file to become longer, on a file that answers all else at once. */
@Timeout(60)
class GrowingTogetherTest {
    private static final int SIZE = 64 << 20;
    private static final int REQUESTS = 8;
    private static final int APART = SIZE / REQUESTS;
    private static final int LENGTH = 4096;

    /** Becomes longer in a later turn of the loop. */
    private static final class LateFile extends PassingDevice {
        private final SimLoop loop;

        LateFile(SimLoop loop, BlockDevice next) {
            super(next);
            this.loop = loop;
        }

        @Override
        public void resize(long lengthBytes, Completion completion) {
            loop.execute(() -> next.resize(lengthBytes, completion));
        }

        @Override
        public long lengthBytes() {
            return next.lengthBytes();
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = GrownFormat.class,
            names = {"VMDK_SPARSE", "VHD_DYNAMIC", "VHDX_DYNAMIC"})
    void allAreWokenAndEachOnce(GrownFormat format) throws Exception {
        SimLoop loop = new SimLoop(1);
        BlockDevice file = CheckedDevice.of(new LateFile(loop, MemoryDisk.growing(256 << 20)), "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        format.create(bytes, SIZE);
        BlockDevice disk = CheckedDevice.of(format.open(loop, new OpenFile(bytes, file)), "disk");
        IoBuffer written = IoBuffer.allocate(LENGTH);
        written.segment().fill((byte) 5);
        int[] ended = new int[1];
        for (int i = 0; i < REQUESTS; i++) {
            disk.write((long) i * APART, written, 0, LENGTH, 0, error -> {
                assertThat(error).isNull();
                ended[0]++;
            });
        }
        loop.runFor(1_000_000_000L);
        assertThat(ended[0]).isEqualTo(REQUESTS);
        IoBuffer found = IoBuffer.allocate(LENGTH);
        for (int i = 0; i < REQUESTS; i++) {
            long offset = (long) i * APART;
            assertThat(OnLoop.await(loop, end -> disk.read(offset, found, 0, LENGTH, end)))
                    .isNull();
            assertThat(found.segment().mismatch(written.segment())).isNegative();
        }
    }
}
