package dev.ferry.stack;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.PassingDevice;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The tables of a disk are read again where there is no memory to keep them, and only there. */
@Timeout(60)
final class TableMemoryTest {
    private static final long SIZE = 2L << 30;
    private static final long STEP = 1L << 20;

    /** Eight bytes for each of its clusters of 4 KiB. */
    private static final long ALL_TABLES_BYTES = SIZE / 4096 * 8;

    @TempDir
    Path directory;

    private final AtomicLong reads = new AtomicLong();

    private BlockDevice counted(DiskLoop loop, DiskSpec spec) throws BlockException {
        return new PassingDevice(StackContractTest.file(loop, spec)) {
            @Override
            public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
                reads.incrementAndGet();
                super.read(offset, buffer, at, length, completion);
            }
        };
    }

    /** Reads of the file when the disk is gone over a second time. */
    private long readsOfASecondPass(Path image, long tableBytes) throws Exception {
        EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        try {
            EventLoop events = loops.all().getFirst();
            DiskLoop loop = new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(16 << 20), tableBytes);
            DiskSpec spec = new DiskSpec("vm", image, Provisioning.THIN, true, false).in(ImageFormat.QCOW2);
            DiskSide side = DiskSide.open(loop, spec, this::counted);
            pass(loop, side.device());
            reads.set(0);
            pass(loop, side.device());
            side.close();
            return reads.get();
        } finally {
            loops.close();
        }
    }

    private static void pass(DiskLoop loop, BlockDevice disk) throws Exception {
        IoBuffer buffer = IoBuffer.allocate(4096);
        for (long at = 0; at < SIZE; at += STEP) {
            long offset = at;
            OnLoop.await(loop.loop(), completion -> disk.read(offset, buffer, 0, 4096, completion));
        }
    }

    @Test
    void isWhatTheLoopSays() throws Exception {
        Path image = directory.resolve("vm.qcow2");
        succeeds("qemu-img", "create", "-f", "qcow2", "-o", "preallocation=metadata,cluster_size=4k", image, SIZE);
        long requests = SIZE / STEP;
        assertThat(readsOfASecondPass(image, 2 * ALL_TABLES_BYTES)).isEqualTo(requests);
        assertThat(readsOfASecondPass(image, ALL_TABLES_BYTES / 16)).isGreaterThan(requests + requests / 4);
    }
}
