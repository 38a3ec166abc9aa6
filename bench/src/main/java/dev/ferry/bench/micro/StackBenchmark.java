package dev.ferry.bench.micro;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.device.MemoryDevice;
import dev.ferry.filter.Gate;
import dev.ferry.filter.Stats;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.image.Provisioning;
import dev.ferry.image.RawImage;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** One request of 4 KiB through a disk's whole stack, at rest and while it moves, on memory. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class StackBenchmark implements Completion {
    private static final long SIZE = 64L << 20;
    private static final int BLOCK = 4096;

    /** {@code rest}: stats, gate, format and file; {@code moving}: with the mirror, all of it copied already. */
    @Param({"rest", "moving"})
    private String disk = "rest";

    private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
    private BlockDevice front = new MemoryDevice(SIZE);
    private long offset;
    private long completed;

    /** Puts the layers together as an open disk has them. */
    @Setup
    public void open() {
        Loop loop = new InlineLoop();
        BlockDevice below = side("source");
        if (disk.equals("moving")) {
            Mirror mirror = new Mirror(loop, below, side("target"), MirrorSettings.DEFAULT, why -> complete(why));
            for (long region = 0; region < mirror.regions(); region++) {
                mirror.skip(region);
            }
            below = mirror;
        }
        front = CheckedDevice.of(new Stats(loop, new Gate(loop, below)), "disk");
    }

    private static BlockDevice side(String name) {
        return CheckedDevice.of(
                new RawImage(CheckedDevice.of(new MemoryDevice(SIZE), name + " file"), Provisioning.THIN), name);
    }

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
