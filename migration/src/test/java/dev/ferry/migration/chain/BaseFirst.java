package dev.ferry.migration.chain;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.PassingDevice;
import dev.ferry.testkit.SimLoop;
import java.util.Arrays;

/** A planted bug: before what a guest writes something else is put into the base, where the overlay may not hide it. */
final class BaseFirst extends PassingDevice {
    private static final long LATE_NANOS = 2_000_000;

    private final BlockDevice base;
    private final SimLoop loop;

    BaseFirst(BlockDevice next, BlockDevice base, SimLoop loop) {
        super(next);
        this.base = base;
        this.loop = loop;
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        byte[] noise = new byte[length];
        Arrays.fill(noise, (byte) 0x5a);
        IoBuffer other = IoBuffer.allocate(length);
        other.copyFrom(noise, 0, 0, length);
        Runnable later = () -> super.write(offset, buffer, at, length, flags, completion);
        base.write(offset, other, 0, length, 0, error -> {
            var _ = loop.schedule(LATE_NANOS, later);
        });
    }
}
