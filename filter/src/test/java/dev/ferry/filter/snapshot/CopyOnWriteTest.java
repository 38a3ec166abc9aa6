package dev.ferry.filter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.Aligner;
import dev.ferry.filter.Fault;
import dev.ferry.filter.FaultRule;
import dev.ferry.filter.Gate;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The base stays as it was, and reads see what was changed. */
class CopyOnWriteTest {
    private static final int SIZE = (1 << 20) + 512 + 7;
    private static final int BLOCK = CopyOnWrite.BLOCK_BYTES;

    private final SimLoop loop = new SimLoop(1);
    private final SplittableRandom random = new SplittableRandom(7);
    private final byte[] content = new byte[SIZE];
    private final MemoryDisk base = new MemoryDisk(SIZE);
    private final SimDisk above = new SimDisk("above", loop, 4, Geometry.ofBytes(SIZE), 50_000);
    private final Fault faults = new Fault(base, "base", new SplittableRandom(3));
    private final CopyOnWrite copy = new CopyOnWrite(faults, above);
    private final IoBuffer buffer = IoBuffer.allocate(256 << 10);

    CopyOnWriteTest() {
        random.nextBytes(content);
        base.fill(0, content);
    }

    private @Nullable BlockError ended(Consumer<Completion> request) {
        List<@Nullable BlockError> ends = new ArrayList<>();
        request.accept(ends::add);
        loop.run();
        assertThat(ends).as("it ends once").hasSize(1);
        return ends.getFirst();
    }

    /** A read that begins while a change is under way sees the block as it was, and one after it as it is. */
    @Test
    void aBlockIsReadFromTheOverlayWhenItsChangeHasEnded() {
        List<String> events = new ArrayList<>();
        IoBuffer read = IoBuffer.allocate(BLOCK);
        buffer.segment().fill((byte) 9);
        copy.write(0, buffer, 0, BLOCK, 0, error -> events.add("written"));
        copy.read(0, read, 0, BLOCK, error -> events.add("read"));
        assertThat(events).containsExactly("read");
        byte[] seen = new byte[BLOCK];
        read.copyTo(0, seen, 0, BLOCK);
        assertThat(seen).isEqualTo(Arrays.copyOf(content, BLOCK));
        loop.run();
        assertThat(ended(end -> copy.read(0, read, 0, BLOCK, end))).isNull();
        read.copyTo(0, seen, 0, BLOCK);
        assertThat(seen).containsOnly(9);
        assertThat(copy.changedBytes()).isEqualTo(BLOCK);
    }

    /** Random changes and reads at any offset, through an aligner, against what a byte array says. */
    @Test
    void readsSeeEveryChangeAndTheBaseSeesNone() {
        var disk = CheckedDevice.of(new Gate(loop, new Aligner(copy, BufferPool.ofBytes(8 << 20))), "copy");
        byte[] model = content.clone();
        for (int i = 0; i < 600; i++) {
            int length = 1 + random.nextInt(i % 7 == 0 ? 200_000 : 9_000);
            int offset = random.nextInt(SIZE - length);
            int kind = random.nextInt(6);
            if (kind < 2) {
                byte[] bytes = new byte[length];
                random.nextBytes(bytes);
                buffer.copyFrom(bytes, 0, 0, length);
                assertThat(ended(end -> disk.write(offset, buffer, 0, length, 0, end)))
                        .isNull();
                System.arraycopy(bytes, 0, model, offset, length);
            } else if (kind == 2) {
                boolean discard = random.nextBoolean();
                assertThat(ended(end -> {
                            if (discard) {
                                disk.discard(offset, length, 0, end);
                            } else {
                                disk.writeZeroes(offset, length, 0, end);
                            }
                        }))
                        .isNull();
                Arrays.fill(model, offset, offset + length, (byte) 0);
            } else {
                assertThat(ended(end -> disk.read(offset, buffer, 0, length, end)))
                        .isNull();
                byte[] seen = new byte[length];
                buffer.copyTo(0, seen, 0, length);
                assertThat(seen)
                        .as("%d bytes at %d, step %d", length, offset, i)
                        .isEqualTo(Arrays.copyOfRange(model, offset, offset + length));
            }
        }
        assertThat(base.bytes(0, SIZE)).as("the base").isEqualTo(content);
    }

    @Test
    void aReadOfBothFailsIfEitherDoesAndEndsOnce() {
        assertThat(ended(end -> copy.write(BLOCK, buffer, 0, BLOCK, 0, end))).isNull();
        faults.rule(FaultRule.fail(FaultRule.READ, ErrorKind.IO));
        assertThat(ended(end -> copy.read(BLOCK, buffer, 0, BLOCK, end)))
                .as("it is all in the overlay")
                .isNull();
        assertThat(ended(end -> copy.read(0, buffer, 0, 4 * BLOCK, end))).isNotNull();
        faults.rule(null);
        assertThat(ended(end -> copy.read(0, buffer, 0, 4 * BLOCK, end)))
                .as("the failure before is forgotten")
                .isNull();
    }

    @Test
    void whatIsDescribedIsThatOfTheDeviceThatHasIt() {
        assertThat(ended(end -> copy.discard(2L * BLOCK, 2L * BLOCK, 0, end))).isNull();
        assertThat(ended(end -> copy.write(3L * BLOCK, buffer, 0, BLOCK, 0, end)))
                .isNull();
        List<String> extents = new ArrayList<>();
        long[] at = {0};
        while (at[0] < 5L * BLOCK) {
            long from = at[0];
            assertThat(ended(end -> copy.extents(
                            from,
                            5L * BLOCK - from,
                            (offset, length, state) -> {
                                extents.add(offset / BLOCK + "+" + length / BLOCK + ":" + state);
                                at[0] = offset + length;
                            },
                            end)))
                    .isNull();
        }
        assertThat(extents).containsExactly("0+2:0", "2+1:3", "3+1:0", "4+1:0");
    }
}
