package dev.ferry.filter.mirror;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A target that trails, rule after rule. */
class MirrorTrailTest extends MirrorRig {
    private static final long MILLIS = 1_000_000L;
    private static final TrailSettings BOUNDS = new TrailSettings(REGION, 4, 100 * MILLIS, 10 * MILLIS);

    @BeforeEach
    void trail() {
        mirror.trail(BOUNDS);
        target.holds = true;
    }

    private void endTarget() {
        while (target.inFlight() > 0) {
            target.endNext();
        }
    }

    @Test
    void aWriteIsTheSourcesToAnswerAndTheTargetGetsWhatItWasThen() {
        copied(0);
        IoBuffer buffer = filled(4096, 7);
        mirror.write(0, buffer, 0, 4096, RequestFlags.FUA, ends("write"));
        assertThat(ended).containsExactly("write");
        assertThat(source.asked).containsExactly("write 0+4096 flags 1");
        assertThat(target.asked).as("durable on the source, not on the target").containsExactly("write 0+4096");
        assertThat(mirror.trailingBytes()).isEqualTo(4096);
        buffer.segment().fill((byte) 8);
        endTarget();
        assertThat(target.disk().bytes(0, 1)[0]).isEqualTo((byte) 7);
        assertThat(mirror.trailingBytes()).isZero();
    }

    @Test
    void aFlushIsTheSourcesAndSettlingIsBothSides() {
        copied(0);
        mirror.flush(ends("flush"));
        assertThat(ended).containsExactly("flush");
        assertThat(target.asked).isEmpty();
        write("write", 0, 4096);
        mirror.settle(ends("settled"));
        assertThat(target.asked).as("flushed once the target has it").containsExactly("write 0+4096");
        target.endNext();
        assertThat(target.asked).last().isEqualTo("flush");
        assertThat(ended).containsExactly("flush", "write");
        target.endNext();
        assertThat(ended).containsExactly("flush", "write", "settled");
    }

    @Test
    void changesOfTheSameBlockReachTheTargetOneAfterTheOther() {
        copied(0);
        write("one", 0, 4096);
        write("two", 2048, 4096);
        write("apart", 16384, 4096);
        assertThat(ended).containsExactly("one", "two", "apart");
        assertThat(target.asked).containsExactly("write 0+4096", "write 16384+4096");
        target.endNext();
        assertThat(target.asked).last().isEqualTo("write 2048+4096");
    }

    @Test
    void ofABlockWrittenAgainAndAgainTheTargetGetsTheLast() {
        copied(0);
        for (int value = 1; value <= 4; value++) {
            mirror.write(4096, filled(4096, value), 0, 4096, 0, ends("write " + value));
        }
        assertThat(ended).hasSize(4);
        assertThat(target.asked).hasSize(1);
        endTarget();
        assertThat(target.asked).as("the second and the third were overtaken").hasSize(2);
        assertThat(target.disk().bytes(4096, 1)[0]).isEqualTo((byte) 4);
        assertThat(mirror.trailingBytes()).isZero();
    }

    @Test
    void aZeroOverSeveralRegionsKeepsItsPlaceAmongWritesOfThem() {
        copied(0, 1);
        write("before", REGION - 4096, 4096);
        mirror.writeZeroes(0, 2L * REGION, 0, ends("zero"));
        write("after", REGION, 4096);
        assertThat(ended).containsExactly("before", "zero", "after");
        assertThat(target.asked).containsExactly("write " + (REGION - 4096) + "+4096");
        endTarget();
        assertThat(target.disk().bytes(REGION - 4096, 1)[0]).isZero();
        assertThat(target.disk().bytes(REGION, 1)[0]).isEqualTo((byte) 1);
    }

    @Test
    void aWriteWhileItsRegionIsCopiedIsAnsweredAndFollowsTheCopy() {
        Hold hold = begin(0);
        write("write", 0, 4096);
        write("again", 0, 4096);
        assertThat(ended).containsExactly("write", "again");
        assertThat(target.asked).isEmpty();
        mirror.end(hold, true);
        endTarget();
        assertThat(target.asked).containsExactly("write 0+4096", "write 0+4096");
    }

    @Test
    void aRegionIsHeldOnceTheTargetHasWhatItWasOwedThere() {
        copied(0);
        write("write", 0, 4096);
        Hold hold = new Hold();
        mirror.lock(0, hold);
        assertThat(hold.begun).isFalse();
        target.endNext();
        assertThat(hold.begun).isTrue();
    }

    @Test
    void whereThereIsNoRoomAWriteWaitsForTheTarget() {
        copied(0, 1);
        for (int i = 0; i < 4; i++) {
            write("write " + i, i * 8192L, 4096);
        }
        write("fifth", REGION, 4096);
        assertThat(ended).hasSize(4);
        assertThat(source.asked).as("reaches neither side").hasSize(4);
        assertThat(mirror.heldBack()).isEqualTo(1);
        target.endNext();
        assertThat(ended).hasSize(5);
        assertThat(mirror.overruns()).isZero();
    }

    @Test
    void aLongWriteGoesInPartsAndNeverNeedsMoreThanThereIs() {
        copied(0, 1);
        write("long", 0, 2 * REGION);
        assertThat(mirror.trailingBytes()).isEqualTo(REGION);
        assertThat(ended).isEmpty();
        endTarget();
        assertThat(ended).containsExactly("long");
        assertThat(target.disk().bytes(0, 2 * REGION)).containsOnly(1);
    }

    @Test
    void aGuestWaitsForNoLongerThanTheBoundAndItsRegionsArePendingThen() {
        copied(0, 1, 2);
        for (int i = 0; i < 4; i++) {
            write("write " + i, i * 8192L, 4096);
        }
        write("held", REGION, 4096);
        loop.runFor(BOUNDS.waitNanosMax());
        assertThat(ended).last().isEqualTo("held");
        assertThat(mirror.copied(1)).isFalse();
        assertThat(mirror.overruns()).isEqualTo(1);
        write("at once", 2L * REGION, 4096);
        assertThat(ended).last().isEqualTo("at once");
        assertThat(mirror.copied(2)).isFalse();
        assertThat(mirror.attached()).isTrue();
        target.endNext();
        target.endNext();
        write("mirrored", 40960, 4096);
        assertThat(target.asked).last().isEqualTo("write 40960+4096");
        Hold hold = begin(1);
        assertThat(hold.begun).isTrue();
    }

    @Test
    void aTargetThatFallsBehindAgainAndAgainTrailsNoMore() {
        copied(0, 1);
        for (int time = 0; time < Trail.OVERRUNS_MAX; time++) {
            assertThat(mirror.trails()).isTrue();
            for (int i = 0; i < 4; i++) {
                write("write", i * 8192L, 4096);
            }
            write("held", REGION, 4096);
            loop.runFor(BOUNDS.waitNanosMax());
            endTarget();
            if (!mirror.copied(1)) {
                copied(1);
            }
        }
        assertThat(mirror.trails()).isFalse();
        int before = ended.size();
        write("both", 0, 4096);
        mirror.trailAgain();
        write("both", 8192, 4096);
        assertThat(ended).hasSize(before);
        endTarget();
        assertThat(ended).hasSize(before + 2);
    }

    @Test
    void whatIsTooOldKeepsMoreFromBeingAdded() {
        copied(0);
        write("old", 0, 4096);
        loop.runFor(BOUNDS.ageNanosMax() + 1);
        write("young", 8192, 4096);
        assertThat(ended).containsExactly("old");
        target.endNext();
        assertThat(ended).containsExactly("old", "young");
    }

    @Test
    void closedUpAWriteIsBothSidesToAnswer() {
        copied(0);
        write("owed", 0, 4096);
        mirror.closeUp(ends("in step"));
        write("both", 8192, 4096);
        assertThat(ended).containsExactly("owed");
        target.endNext();
        assertThat(ended).containsExactly("owed", "in step");
        target.endNext();
        assertThat(ended).containsExactly("owed", "in step", "both");
        mirror.trailAgain();
        write("owed again", 0, 4096);
        assertThat(ended).last().isEqualTo("owed again");
    }

    @Test
    void aTargetThatErrsIsLetGoAndWhatItWasOwedIsPending() {
        copied(0, 1, 2);
        write("owed", 0, 4096);
        write("blocked", 2048, 4096);
        for (int i = 0; i < 3; i++) {
            write("more " + i, REGION + 8192L * i, 4096);
        }
        mirror.settle(ends("settled"));
        assertThat(ended).as("one is held back").hasSize(4);
        target.failNext();
        assertThat(ended).as("nobody waits for it now").hasSize(6);
        assertThat(lost).hasSize(1);
        assertThat(mirror.copied(0)).isFalse();
        assertThat(mirror.copied(1)).isFalse();
        assertThat(mirror.copied(2)).isTrue();
        endTarget();
        mirror.reattach(target, true);
        assertThat(mirror.nextPending(0)).isZero();
        assertThat(mirror.nextPending(2)).as("only what was changed").isEqualTo(3);
        assertThat(mirror.trailingBytes()).isZero();
    }

    @Test
    void aTargetThatHangsIsLetGoAndTheGuestDoesNotNotice() {
        copied(0);
        write("owed", 0, 4096);
        loop.runFor(2 * STALL_NANOS);
        assertThat(lost).hasSize(1);
        assertThat(mirror.copied(0)).isFalse();
        write("later", 0, 4096);
        assertThat(ended).containsExactly("owed", "later");
    }

    @Test
    void anErrorOfTheSourceIsTheGuests() {
        copied(0);
        source.holds = true;
        write("write", 0, 4096);
        target.endNext();
        source.failNext();
        assertThat(ended).containsExactly("write failed");
        assertThat(mirror.copied(0)).isFalse();
        assertThat(mirror.trailingBytes()).isZero();
    }
}
