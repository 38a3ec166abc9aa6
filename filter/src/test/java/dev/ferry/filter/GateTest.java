package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class GateTest {
    private final SimLoop loop = new SimLoop(1);
    private final SimDisk disk = new SimDisk("simulated", loop, 3, Geometry.ofBytes(1 << 20), 100_000);
    private final Gate gate = new Gate(loop, disk);
    private final List<Integer> ended = new ArrayList<>();

    private static IoBuffer filled(int value) {
        IoBuffer buffer = IoBuffer.allocate(8192);
        buffer.segment().fill((byte) value);
        return buffer;
    }

    @Test
    void overlappingChangesEndInTheOrderOfArrivalAndTheLastOneStays() {
        for (int i = 0; i < 100; i++) {
            int number = i;
            gate.write(i % 3, filled(i), 0, 4096, 0, error -> ended.add(number));
        }
        loop.run();
        assertThat(ended).isSorted().hasSize(100);
        assertThat(disk.bytes(0, 1)[0]).isEqualTo((byte) 99);
        assertThat(gate.inFlight() + gate.waiting()).isZero();
    }

    @Test
    void thoseThatWaitedForTheSameOneGoOnInTheOrderOfArrival() {
        Fault stalls = new Fault(new MemoryDisk(1 << 20), "disk", new SplittableRandom(1));
        Gate above = new Gate(loop, stalls);
        stalls.rule(FaultRule.stall(FaultRule.WRITE));
        above.write(0, filled(0), 0, 8192, 0, error -> ended.add(0));
        stalls.rule(null);
        above.write(0, filled(1), 0, 4096, 0, error -> ended.add(1));
        above.discard(4096, 4096, 0, error -> ended.add(2));
        above.writeZeroes(0, 4096, 0, error -> ended.add(3));
        assertThat(above.waiting()).isEqualTo(3);
        stalls.release();
        assertThat(ended).containsExactly(0, 1, 2, 3);
    }

    @Test
    void changesThatShareABlockAreKeptApartAndOthersAreNot() {
        disk.stallsPerMillion(1_000_000);
        gate.write(0, filled(1), 0, 100, 0, error -> {});
        gate.writeZeroes(200, 100, 0, error -> {});
        gate.discard(4096, 4096, 0, error -> {});
        gate.read(0, filled(0), 0, 4096, error -> {});
        assertThat(gate.inFlight()).isEqualTo(3);
        assertThat(gate.waiting()).isEqualTo(1);
    }

    @Test
    void quiescingDrainsHoldsBackAndGoesOnInOrderBelowAnotherStack() {
        List<String> events = new ArrayList<>();
        gate.write(0, filled(1), 0, 4096, 0, error -> events.add("first"));
        gate.quiesce(() -> events.add("drained"));
        gate.write(8192, filled(2), 0, 4096, 0, error -> events.add("second"));
        gate.flush(error -> events.add("flush"));
        loop.run();
        assertThat(events).containsExactly("first", "drained");
        MemoryDisk other = new MemoryDisk(1 << 20);
        gate.replace(other);
        gate.resume();
        assertThat(events).containsExactly("first", "drained", "second", "flush");
        assertThat(other.bytes(8192, 1)[0]).isEqualTo((byte) 2);
        assertThat(disk.bytes(0, 1)[0]).isEqualTo((byte) 1);
    }

    @Test
    void aStackIsNotChangedUnderRequestsInFlight() {
        disk.stallsPerMillion(1_000_000);
        gate.flush(error -> {});
        gate.quiesce(() -> {});
        assertThatThrownBy(() -> gate.replace(new MemoryDisk(1 << 20))).isInstanceOf(Invariant.Broken.class);
    }

    @Test
    void manyThatWaitedDoNotRecurse() {
        Gate inline = new Gate(loop, new MemoryDisk(1 << 20));
        inline.quiesce(() -> {});
        for (int i = 0; i < 3_000; i++) {
            int number = i;
            inline.discard(0, 4096, 0, error -> ended.add(number));
        }
        inline.resume();
        assertThat(ended).isSorted().hasSize(3_000);
    }
}
