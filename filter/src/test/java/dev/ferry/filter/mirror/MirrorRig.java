package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A mirror between two disks whose requests a test ends by hand. */
abstract class MirrorRig {
    static final int REGION = 64 << 10;
    static final long STALL_NANOS = 1_000_000_000L;

    final SimLoop loop = new SimLoop(1);
    final HeldDisk source = new HeldDisk(8L * REGION + 100);
    final HeldDisk target = new HeldDisk(8L * REGION + 4096);
    final List<BlockError> lost = new ArrayList<>();
    final Mirror mirror = new Mirror(loop, source, target, new MirrorSettings(REGION, STALL_NANOS, true), lost::add);
    final List<String> ended = new ArrayList<>();
    final IoBuffer ones = filled(3 * REGION, 1);

    static IoBuffer filled(int length, int value) {
        IoBuffer buffer = IoBuffer.allocate(length);
        buffer.segment().fill((byte) value);
        return buffer;
    }

    Completion ends(String name) {
        return error -> ended.add(name + (error == null ? "" : " failed"));
    }

    static final class Hold extends RegionHold {
        boolean begun;

        @Override
        protected void held(@Nullable BlockError why) {
            begun = why == null;
        }
    }

    Hold begin(long region) {
        Hold hold = new Hold();
        mirror.copy(region, hold);
        return hold;
    }

    void copied(long... regions) {
        for (long region : regions) {
            mirror.end(begin(region), true);
        }
    }

    void write(String name, long offset, int length) {
        mirror.write(offset, ones, 0, length, 0, ends(name));
    }
}
