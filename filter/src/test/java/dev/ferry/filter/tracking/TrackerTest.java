package dev.ferry.filter.tracking;

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
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What is marked, when, and in which of several bitmaps. */
class TrackerTest {
    private static final int SIZE = 1 << 20;
    private static final int BLOCK = 4096;

    private final SimLoop loop = new SimLoop(1);
    private final Fault faults =
            new Fault(new SimDisk("disk", loop, 2, Geometry.ofBytes(SIZE), 50_000), "disk", new SplittableRandom(3));
    private final Tracker tracker = new Tracker(faults);
    private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
    private final List<BlockError> errors = new ArrayList<>();

    private DirtyBitmap bitmap(String name, int granularityBytes) {
        DirtyBitmap bitmap = new DirtyBitmap(SIZE, granularityBytes);
        tracker.add(name, bitmap);
        return bitmap;
    }

    private void ended(@Nullable BlockError error) {
        if (error != null) {
            errors.add(error);
        }
    }

    private void settle() {
        loop.runFor(1_000_000_000L);
    }

    @Test
    void eachBitmapHasItsGranularity() {
        DirtyBitmap fine = bitmap("fine", BLOCK);
        DirtyBitmap coarse = bitmap("coarse", 64 << 10);
        tracker.write(BLOCK, buffer, 0, BLOCK, 0, this::ended);
        tracker.writeZeroes(128 << 10, 8192, 0, this::ended);
        tracker.discard(512 << 10, 4096, 0, this::ended);
        tracker.read(900 << 10, buffer, 0, BLOCK, this::ended);
        settle();
        assertThat(errors).isEmpty();
        assertThat(fine.dirtyBytes()).isEqualTo(4 * BLOCK);
        assertThat(coarse.dirtyBytes()).isEqualTo(3 * (64 << 10));
        assertThat(tracker.names()).containsExactly("fine", "coarse");
        assertThat(tracker.find("coarse")).isSameAs(coarse);
    }

    @Test
    void aChangeInFlightIsInABitmapThatIsAddedOrClearedBeforeItEnds() {
        DirtyBitmap early = bitmap("early", BLOCK);
        faults.rule(FaultRule.stall(FaultRule.WRITE));
        tracker.write(0, buffer, 0, BLOCK, 0, this::ended);
        DirtyBitmap late = bitmap("late", BLOCK);
        early.clearAll();
        assertThat(late.dirtyBytes()).isZero();
        faults.release();
        settle();
        assertThat(late.isDirty(0, BLOCK)).as("the bitmap that came late").isTrue();
        assertThat(early.isDirty(0, BLOCK)).as("the bitmap that was cleared").isTrue();
    }

    @Test
    void aChangeInFlightIsInTheFirstBitmapThatThereIs() {
        faults.rule(FaultRule.stall(FaultRule.CHANGES));
        tracker.write(0, buffer, 0, BLOCK, 0, this::ended);
        tracker.writeZeroes(4 * BLOCK, BLOCK, 0, this::ended);
        tracker.discard(8 * BLOCK, BLOCK, 0, this::ended);
        DirtyBitmap first = bitmap("first", BLOCK);
        faults.release();
        settle();
        assertThat(first.dirtyBytes()).isEqualTo(3 * BLOCK);
    }

    @Test
    void theRequesterHearsOfItOnlyWhenItIsMarked() {
        DirtyBitmap bitmap = bitmap("one", BLOCK);
        boolean[] marked = {false};
        tracker.write(0, buffer, 0, BLOCK, 0, error -> marked[0] = bitmap.isDirty(0, BLOCK));
        settle();
        assertThat(marked[0]).isTrue();
    }

    @Test
    void aChangeThatFailedIsMarkedToo() {
        DirtyBitmap bitmap = bitmap("one", BLOCK);
        faults.rule(FaultRule.fail(FaultRule.WRITE, ErrorKind.IO));
        tracker.write(8192, buffer, 0, BLOCK, 0, this::ended);
        settle();
        assertThat(errors).hasSize(1);
        assertThat(bitmap.isDirty(8192, BLOCK)).isTrue();
    }

    @Test
    void aBitmapThatIsRemovedIsLeftAlone() {
        DirtyBitmap bitmap = bitmap("one", BLOCK);
        tracker.remove("one");
        tracker.write(0, buffer, 0, BLOCK, 0, this::ended);
        settle();
        assertThat(bitmap.dirtyBytes()).isZero();
        assertThat(tracker.find("one")).isNull();
        assertThatThrownBy(() -> tracker.remove("one")).hasMessageContaining("no bitmap of that name");
        bitmap("two", BLOCK);
        assertThatThrownBy(() -> bitmap("two", BLOCK)).hasMessageContaining("two bitmaps of one name");
        assertThatThrownBy(() -> tracker.add("three", new DirtyBitmap(SIZE * 2, BLOCK)))
                .hasMessageContaining("another disk");
    }
}
