package dev.ferry.block;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class BufferPoolTest {
    @Test
    void aReleasedBufferComesBackAndTheBoundHolds() {
        BufferPool pool = new BufferPool(Arena.global(), 64 << 10, 128 << 10);
        IoBuffer first = Objects.requireNonNull(pool.take(5000));
        assertThat(first.capacity()).isEqualTo(8192);
        assertThat(first.address() % 4096).isZero();
        first.release();
        assertThat(pool.take(8192)).isSameAs(first);
        int taken = 0;
        while (pool.take(8192) != null) {
            taken++;
        }
        assertThat(taken).isBetween(8, 10);
    }

    @Test
    void aSecondReleaseIsCaught() {
        BufferPool pool = BufferPool.ofBytes(1 << 20);
        IoBuffer buffer = Objects.requireNonNull(pool.take(4096));
        buffer.release();
        assertThatThrownBy(buffer::release).isInstanceOf(Invariant.Broken.class);
    }

    @Test
    void zeroesAreToldFromData() {
        IoBuffer buffer = IoBuffer.allocate(10000);
        assertThat(buffer.isZero(0, 10000)).isTrue();
        buffer.segment().set(ValueLayout.JAVA_BYTE, 9999, (byte) 1);
        assertThat(buffer.isZero(0, 10000)).isFalse();
        assertThat(buffer.isZero(0, 9999)).isTrue();
    }
}
