package dev.ferry.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class SimDiskTest extends BlockDeviceContract {
    private final SimLoop loop = new SimLoop(1);

    @Override
    protected Loop loop() {
        return loop;
    }

    @Override
    protected SimDisk open(long sizeBytes) {
        return new SimDisk("simulated", loop, 7, Geometry.ofBytes(sizeBytes), 100_000);
    }

    private static IoBuffer ones() {
        IoBuffer buffer = IoBuffer.allocate(4096);
        buffer.segment().fill((byte) 1);
        return buffer;
    }

    @Test
    void aLossOfPowerKeepsWhatWasFlushedAndLosesSomeOfTheRest() {
        SimDisk disk = open(1 << 20);
        for (int i = 0; i < 200; i++) {
            long offset = i * 4096L;
            int flags = i < 50 ? RequestFlags.FUA : 0;
            OnLoop.await(loop, end -> disk.write(offset, ones(), 0, 4096, flags, end));
            if (i == 99) {
                OnLoop.await(loop, disk::flush);
            }
        }
        disk.losePower();
        int kept = 0;
        for (int i = 0; i < 200; i++) {
            boolean there = disk.bytes(i * 4096L, 1)[0] == 1;
            assertThat(there || i >= 100).as("block %d was flushed", i).isTrue();
            kept += there ? 1 : 0;
        }
        assertThat(kept).isBetween(101, 199);
    }

    @Test
    void requestsThatStallEndWhenTheyAreLetGo() {
        SimDisk disk = open(1 << 20);
        disk.stallsPerMillion(1_000_000);
        List<String> ended = new ArrayList<>();
        disk.write(0, ones(), 0, 4096, 0, error -> ended.add("write"));
        loop.run();
        assertThat(ended).isEmpty();
        disk.endStalls();
        loop.run();
        assertThat(ended).containsExactly("write");
    }

    @Test
    void theSameSeedGivesTheSameRunAndAnotherAnother() {
        assertThat(order(5)).isEqualTo(order(5)).isNotEqualTo(order(6));
    }

    private static List<Integer> order(long seed) {
        SimLoop world = new SimLoop(seed);
        BlockDevice disk = new SimDisk("simulated", world, seed, Geometry.ofBytes(1 << 20), 1000);
        List<Integer> ended = new ArrayList<>();
        for (int i = 0; i < 40; i++) {
            int number = i;
            disk.write(i * 4096L, ones(), 0, 4096, 0, error -> ended.add(number));
        }
        world.run();
        return ended;
    }
}
