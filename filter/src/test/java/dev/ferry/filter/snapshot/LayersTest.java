package dev.ferry.filter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.Fault;
import dev.ferry.filter.FaultRule;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What goes to the layer on top, and what a flush owes to the one below. */
class LayersTest {
    private static final int SIZE = 1 << 20;
    private static final int BLOCK = 4096;

    private final SimLoop loop = new SimLoop(1);
    private final SimDisk base = new SimDisk("base", loop, 2, Geometry.ofBytes(SIZE), 50_000);
    private final Fault faults = new Fault(base, "base", new SplittableRandom(3));
    private final SimDisk above = new SimDisk("above", loop, 4, Geometry.ofBytes(SIZE), 50_000);
    private final Layers layers = new Layers(faults);
    private final IoBuffer ones = filled();
    private @Nullable BlockError error;

    private static IoBuffer filled() {
        IoBuffer buffer = IoBuffer.allocate(BLOCK);
        buffer.segment().fill((byte) 1);
        return buffer;
    }

    private void write(long offset) {
        layers.write(offset, ones, 0, BLOCK, 0, ended -> error = ended);
        loop.runFor(1_000_000_000L);
        assertThat(error).isNull();
    }

    private void flush() {
        layers.flush(ended -> error = ended);
        loop.runFor(1_000_000_000L);
    }

    @Test
    void whatIsBelowStandsStill() {
        write(0);
        layers.push(above);
        write(8192);
        assertThat(base.bytes(8192, 1)).containsExactly(0);
        assertThat(above.bytes(8192, 1)).containsExactly(1);
        assertThat(layers.layered()).isTrue();
    }

    /** The guest was told that it is written before the layer came, and flushes after that. */
    @Test
    void aFlushMakesDurableWhatWasWrittenBelow() {
        write(0);
        layers.push(above);
        write(8192);
        flush();
        assertThat(error).isNull();
        base.losePower();
        above.losePower();
        assertThat(base.bytes(0, 1)).containsExactly(1);
        assertThat(above.bytes(8192, 1)).containsExactly(1);
    }

    @Test
    void aFlushThatFailsBelowFailsAndIsTriedAgain() {
        write(0);
        layers.push(above);
        faults.rule(FaultRule.fail(FaultRule.FLUSH, ErrorKind.IO));
        flush();
        assertThat(error).isNotNull();
        assertThatThrownBy(() -> layers.push(base)).hasMessageContaining("not flushed");
        faults.rule(null);
        flush();
        assertThat(error).isNull();
        layers.push(base);
        assertThat(layers.top()).isSameAs(base);
    }
}
