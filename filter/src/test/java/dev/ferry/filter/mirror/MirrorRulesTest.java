package dev.ferry.filter.mirror;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BufferPool;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/** Each rule of the mirror by itself, named as the design names it. */
class MirrorRulesTest extends MirrorRig {
    @Test
    void rule1ReadsGoToTheSource() {
        copied(0);
        mirror.read(0, ones, 0, 100, ends("read"));
        assertThat(source.asked).containsExactly("read 0+100");
        assertThat(target.asked).isEmpty();
    }

    @Test
    void rule2AWriteToAPendingRegionGoesToTheSourceOnly() {
        write("write", 10, 100);
        assertThat(ended).containsExactly("write");
        assertThat(target.asked).isEmpty();
        assertThat(mirror.copied(0)).isFalse();
    }

    @Test
    void rule3AWriteToACopiedRegionGoesToBothAtOnceAndEndsWithTheSlower() {
        copied(0);
        source.holds = true;
        target.holds = true;
        mirror.write(10, ones, 0, 100, RequestFlags.FUA, ends("write"));
        assertThat(source.asked).containsExactly("write 10+100 flags 1");
        assertThat(target.asked).containsExactly("write 10+100 flags 1");
        source.endNext();
        assertThat(ended).isEmpty();
        target.endNext();
        assertThat(ended).containsExactly("write");
        assertThat(mirror.bytesMirrored()).isEqualTo(100);
    }

    @Test
    void rule3AFlushGoesToBothSides() {
        target.holds = true;
        mirror.flush(ends("flush"));
        assertThat(source.asked).containsExactly("flush");
        assertThat(ended).isEmpty();
        target.endNext();
        assertThat(ended).containsExactly("flush");
    }

    @Test
    void rule4AWriteToARegionBeingCopiedReachesTheTargetAfterTheCopy() {
        Hold hold = begin(0);
        write("write", 10, 100);
        assertThat(source.asked).containsExactly("write 10+100");
        assertThat(target.asked).isEmpty();
        assertThat(ended).isEmpty();
        mirror.end(hold, true);
        assertThat(target.asked).containsExactly("write 10+100");
        assertThat(ended).containsExactly("write");
    }

    @Test
    void rule5ARegionIsCopiedOnceNoEarlierWriteIsInFlightAndLaterOnesDoNotHoldItOff() {
        source.holds = true;
        write("early", 10, 100);
        Hold hold = begin(0);
        assertThat(hold.begun).isFalse();
        write("late", 1000, 100);
        source.endNext();
        assertThat(hold.begun).isTrue();
        assertThat(ended).containsExactly("early");
    }

    @Test
    void rule6OverlappingChangesInFlightAreADefect() {
        source.holds = true;
        write("one", 10, 100);
        assertThatThrownBy(() -> write("two", 50, 100)).isInstanceOf(Invariant.Broken.class);
    }

    @Test
    void rule7ZeroesAndDiscardsStayWhatTheyAre() {
        copied(0);
        mirror.writeZeroes(0, 4096, 0, ends("zero"));
        mirror.discard(8192, 4096, 0, ends("discard"));
        assertThat(target.asked).containsExactly("zero 0+4096", "discard 8192+4096");
        assertThat(target.disk().allocatedBytes()).isZero();
    }

    @Test
    void rule8ARequestAcrossStatesIsSplitAndEndsOnce() {
        copied(0, 3);
        Hold hold = begin(1);
        int half = REGION / 2;
        mirror.writeZeroes(half, 3L * REGION, 0, ends("zero"));
        assertThat(source.asked).hasSize(4);
        assertThat(target.asked).containsExactly("zero " + half + "+" + half, "zero " + 3 * REGION + "+" + half);
        assertThat(ended).isEmpty();
        mirror.end(hold, true);
        assertThat(target.asked).last().isEqualTo("zero " + REGION + "+" + REGION);
        assertThat(ended).containsExactly("zero");
    }

    @Test
    void rule9AnErrorOfTheTargetNeverReachesTheGuest() {
        copied(0, 1, 2);
        target.holds = true;
        write("write", 10, 100);
        target.failNext();
        assertThat(ended).containsExactly("write");
        assertThat(lost).hasSize(1);
        assertThat(mirror.attached()).isFalse();
        assertThat(mirror.copied(0)).isFalse();
        assertThat(mirror.copied(1)).isTrue();
        write("later", REGION + 5, 10);
        assertThat(mirror.copied(1)).as("written since").isFalse();
        assertThat(mirror.copied(2)).isTrue();
        assertThat(ended).containsExactly("write", "later");
    }

    @Test
    void rule9AStallOfTheTargetIsLetGoAndItsBufferIsKeptUntilItEnds() {
        copied(0);
        target.holds = true;
        BufferPool pool = BufferPool.ofBytes(1 << 20);
        IoBuffer buffer = Objects.requireNonNull(pool.take(4096));
        buffer.segment().fill((byte) 9);
        mirror.write(0, buffer, 0, 4096, 0, error -> {
            ended.add("write");
            buffer.release();
        });
        loop.runFor(STALL_NANOS / 2);
        assertThat(ended).isEmpty();
        loop.runFor(STALL_NANOS);
        assertThat(ended).containsExactly("write");
        assertThat(lost).hasSize(1);
        IoBuffer other = Objects.requireNonNull(pool.take(4096));
        assertThat(other).as("memory that the target still reads").isNotSameAs(buffer);
        assertThat(mirror.targetInFlight()).isEqualTo(1);
        target.endNext();
        assertThat(target.disk().bytes(0, 1)[0]).isEqualTo((byte) 9);
        assertThat(mirror.targetInFlight()).isZero();
        assertThat(pool.take(4096)).as("given back in the end").isSameAs(buffer);
        assertThat(ended).containsExactly("write");
    }

    @Test
    void rule9AnErrorOfTheSourceIsTheGuestsAndMakesTheRangePending() {
        copied(0, 1);
        source.holds = true;
        write("write", 10, 100);
        source.failNext();
        assertThat(ended).containsExactly("write failed");
        assertThat(mirror.copied(0)).isFalse();
        assertThat(mirror.copied(1)).isTrue();
        assertThat(mirror.attached()).isTrue();
        assertThat(lost).isEmpty();
    }

    @Test
    void rule9AfterATargetCameBackOnlyWhatIsPendingHasToBeCopied() {
        copied(0, 1);
        target.holds = true;
        write("write", 10, 100);
        target.failNext();
        target.holds = false;
        mirror.reattach(target, true);
        assertThat(mirror.nextPending(0)).isZero();
        assertThat(mirror.nextPending(1)).isEqualTo(2);
        assertThat(mirror.targetIsZero(0)).as("stale content may be there").isFalse();
    }

    @Test
    void rule10AGuestThatWaitsTooLongForACopyGoesOnAndTheRegionIsPending() {
        Hold hold = begin(0);
        write("write", 10, 100);
        loop.runFor(2 * STALL_NANOS);
        assertThat(ended).containsExactly("write");
        assertThat(mirror.attached()).isTrue();
        assertThat(mirror.end(hold, true)).isFalse();
        assertThat(mirror.copied(0)).isFalse();
    }

    @Test
    void rule11DetachingAnswersWhoeverWaitsAndTellsWhenTheTargetIsIdle() {
        copied(0);
        target.holds = true;
        write("write", 10, 100);
        mirror.detach(ends("idle"));
        mirror.detach(ends("idle again"));
        assertThat(ended).containsExactly("write");
        target.endNext();
        assertThat(ended).containsExactly("write", "idle", "idle again");
        assertThat(lost).isEmpty();
    }

    @Test
    void rule13TheGuestSeesTheSizeOfTheSource() {
        assertThat(mirror.geometry()).isEqualTo(source.geometry());
        assertThat(mirror.regions()).isEqualTo(9);
        assertThat(mirror.regionLength(8)).isEqualTo(100);
        assertThat(mirror.pendingBytes()).isEqualTo(8L * REGION + 100);
        copied(8);
        assertThat(mirror.pendingBytes()).isEqualTo(8L * REGION);
    }

    @Test
    void underALockNothingChangesOnEitherSide() {
        copied(0);
        Hold hold = new Hold();
        mirror.lock(0, hold);
        write("write", 10, 100);
        assertThat(source.asked).isEmpty();
        assertThat(mirror.end(hold, true)).isTrue();
        assertThat(source.asked).containsExactly("write 10+100");
        assertThat(target.asked).containsExactly("write 10+100");
        assertThat(ended).containsExactly("write");
    }
}
