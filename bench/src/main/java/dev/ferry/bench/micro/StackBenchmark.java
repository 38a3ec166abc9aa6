package dev.ferry.bench.micro;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.MemoryDevice;
import dev.ferry.image.Provisioning;
import dev.ferry.image.RawImage;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** One request of 4 KiB through a disk's whole stack, on memory. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class StackBenchmark implements Completion {
    private static final long SIZE = 64L << 20;
    private static final int BLOCK = 4096;

    private final BlockDevice front = CheckedDevice.of(
            new RawImage(CheckedDevice.of(new MemoryDevice(SIZE), "memory"), Provisioning.THIN), "disk");
    private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
    private long offset;
    private long completed;

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null) {
            throw new IllegalStateException(error.toString());
        }
        completed++;
    }

    /** A read. */
    @Benchmark
    public long read() {
        front.read(next(), buffer, 0, BLOCK, this);
        return completed;
    }

    /** A write. */
    @Benchmark
    public long write() {
        front.write(next(), buffer, 0, BLOCK, 0, this);
        return completed;
    }

    private long next() {
        offset = (offset + 7 * BLOCK) & (SIZE - 1);
        return offset;
    }
}
