package dev.ferry.filter;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.testkit.MemoryDisk;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Faults hit what their rule says, and nothing else. */
class FaultTest {
    private static final int BLOCK = 4096;

    private final MemoryDisk disk = new MemoryDisk(1 << 20);
    private final Fault fault = new Fault(disk, "victim", new SplittableRandom(7));
    private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
    private final List<@Nullable BlockError> ends = new ArrayList<>();
    private final Completion end = ends::add;

    private void write(long offset, int value) {
        byte[] bytes = new byte[BLOCK];
        Arrays.fill(bytes, (byte) value);
        buffer.copyFrom(bytes, 0, 0, BLOCK);
        fault.write(offset, buffer, 0, BLOCK, 0, end);
    }

    @Test
    void aRequestThatFailsNeverReachesTheDevice() {
        fault.rule(FaultRule.fail(FaultRule.WRITE, ErrorKind.NO_SPACE));
        write(8192, 1);
        BlockError error = Objects.requireNonNull(ends.getFirst());
        assertThat(error.kind()).isEqualTo(ErrorKind.NO_SPACE);
        assertThat(error.message())
                .isEqualTo("write of 4096 bytes at 8192 on victim failed: fault injected on purpose");
        assertThat(disk.allocatedBytes()).isZero();
        assertThat(fault.hits()).isEqualTo(1);
    }

    @Test
    void onlyTheOperationsAndTheRangeOfTheRuleAreHit() {
        fault.rule(new FaultRule(FaultRule.WRITE | FaultRule.FLUSH, 8192, 12288, FaultRule.MILLION, ErrorKind.IO));
        write(4096, 1);
        write(12288, 1);
        fault.read(8192, buffer, 0, BLOCK, end);
        fault.writeZeroes(8192, BLOCK, 0, end);
        fault.discard(8192, BLOCK, 0, end);
        fault.extents(8192, BLOCK, (from, bytes, state) -> {}, end);
        assertThat(ends).hasSize(6).containsOnlyNulls();
        write(8192, 1);
        write(8191, 1);
        write(12287, 1);
        fault.flush(end);
        assertThat(ends.subList(6, 10)).doesNotContainNull();
        assertThat(fault.hits()).isEqualTo(4);
        fault.rule(null);
        write(8192, 1);
        assertThat(ends.getLast()).isNull();
    }

    @Test
    void whatStallsGoesOnWhenItIsReleasedAsIfNothingHadBeen() {
        fault.rule(FaultRule.stall(FaultRule.CHANGES));
        write(0, 5);
        fault.flush(end);
        fault.rule(null);
        fault.read(BLOCK, IoBuffer.allocate(BLOCK), 0, BLOCK, end);
        assertThat(ends).hasSize(1);
        assertThat(fault.stalled()).isEqualTo(2);
        assertThat(disk.flushes()).isZero();
        fault.release();
        assertThat(ends).hasSize(3).containsOnlyNulls();
        assertThat(fault.stalled()).isZero();
        assertThat(disk.bytes(0, 1)[0]).isEqualTo((byte) 5);
        assertThat(disk.flushes()).isEqualTo(1);
    }

    @Test
    void aShareIsAShare() {
        fault.rule(new FaultRule(FaultRule.READ, 0, Long.MAX_VALUE, FaultRule.MILLION / 4, ErrorKind.IO));
        for (int i = 0; i < 10_000; i++) {
            fault.read(0, buffer, 0, BLOCK, end);
        }
        assertThat(fault.hits()).isBetween(2_200L, 2_800L);
        assertThat(ends.stream().filter(error -> error != null)).hasSize((int) fault.hits());
    }

    @Test
    void nothingIsLocatedPastARule() {
        Fault located = new Fault(LocatedDisk.make(), "victim", new SplittableRandom(1));
        FileRange range = new FileRange();
        assertThat(located.locate(0, BLOCK, range)).isTrue();
        located.rule(FaultRule.fail(FaultRule.FLUSH, ErrorKind.IO));
        assertThat(located.locate(0, BLOCK, range)).isFalse();
    }
}
