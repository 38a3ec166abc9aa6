package dev.ferry.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BufferPool;
import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.EventLoops;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Planes that are started one after the other take no more memory than one. */
@Timeout(60)
class DataPlaneTest {
    private static BufferPool pool(DataPlane plane) {
        return plane.loops().getFirst().buffers();
    }

    @Test
    void theMemoryOfAClosedPlaneIsThatOfTheNext() throws Exception {
        BufferPool first;
        IoBuffer kept;
        try (DataPlane plane = DataPlane.start(1, EventLoops.Kind.AUTO)) {
            first = pool(plane);
            kept = Objects.requireNonNull(first.take(4096));
        }
        try (DataPlane next = DataPlane.start(1, EventLoops.Kind.AUTO)) {
            assertThat(pool(next)).isSameAs(first);
            // Somebody may still write to what was never released.
            assertThat(Objects.requireNonNull(pool(next).take(4096)).address()).isNotEqualTo(kept.address());
        }
    }

    @Test
    void planesAtTheSameTimeHaveMemoryOfTheirOwn() throws Exception {
        try (DataPlane one = DataPlane.start(2, EventLoops.Kind.AUTO);
                DataPlane other = DataPlane.start(1, EventLoops.Kind.AUTO)) {
            assertThat(pool(other))
                    .isNotSameAs(pool(one))
                    .isNotSameAs(one.loops().getLast().buffers());
            assertThat(pool(one)).isNotSameAs(one.loops().getLast().buffers());
        }
    }

    @Test
    void aPlaneThatIsClosedTwiceGivesItsMemoryOnOnce() throws Exception {
        DataPlane plane = DataPlane.start(1, EventLoops.Kind.AUTO);
        List.of(plane, plane).forEach(DataPlane::close);
        try (DataPlane one = DataPlane.start(1, EventLoops.Kind.AUTO);
                DataPlane other = DataPlane.start(1, EventLoops.Kind.AUTO)) {
            assertThat(pool(other)).isNotSameAs(pool(one));
        }
    }
}
