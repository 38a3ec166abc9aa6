package dev.ferry.filter.mirror;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.FileRange;
import dev.ferry.block.Invariant;
import dev.ferry.block.RequestFlags;
import org.junit.jupiter.api.Test;

/** What the rules of the mirror mean where two of them meet; each of these has been broken by hand, and was noticed. */
class MirrorEdgesTest extends MirrorRig {
    @Test
    void rule1MapsAndPlacesInFilesAreTheSourcesToo() {
        copied(0);
        mirror.extents(0, 100, (from, bytes, state) -> {}, ends("extents"));
        assertThat(mirror.locate(0, 100, new FileRange())).isTrue();
        assertThat(source.asked).containsExactly("extents 0+100", "locate 0+100");
        assertThat(target.asked).isEmpty();
    }

    @Test
    void rule2AMapOfTheSourceIsNotTrustedWhereTheGuestHasWrittenSince() {
        source.holds = true;
        write("in flight", REGION, 100);
        mirror.watchChanges(0, mirror.regions());
        write("since", 10, 100);
        assertThat(mirror.changedSinceWatch(0)).isTrue();
        assertThat(mirror.changedSinceWatch(1)).isTrue();
        assertThat(mirror.changedSinceWatch(2)).isFalse();
        assertThatThrownBy(() -> mirror.skip(0)).isInstanceOf(Invariant.Broken.class);
        mirror.skip(2);
        assertThat(mirror.copied(2)).isTrue();
    }

    @Test
    void rule4ChangesThatWaitForACopyReachTheTargetInTheirOrder() {
        Hold hold = begin(0);
        write("one", 0, 100);
        write("two", 4096, 100);
        mirror.discard(8192, 4096, 0, ends("three"));
        mirror.end(hold, true);
        assertThat(target.asked).containsExactly("write 0+100", "write 4096+100", "discard 8192+4096");
    }

    @Test
    void rule5OnlyWhatWasInFlightBeforeIsWaitedFor() {
        source.holds = true;
        write("early", 10, 100);
        Hold hold = begin(0);
        write("late", 1000, 100);
        source.endLast();
        assertThat(hold.begun)
                .as("the late one has ended, the early one has not")
                .isFalse();
        source.endNext();
        assertThat(hold.begun).isTrue();
    }

    @Test
    void rule7ZeroesKeepTheirFlagsButNoTargetIsAskedToBeFast() {
        copied(0);
        int flags = RequestFlags.NO_HOLE | RequestFlags.FUA;
        mirror.writeZeroes(0, 4096, flags | RequestFlags.FAST_ZERO, ends("zero"));
        assertThat(source.asked).containsExactly("zero 0+4096 flags " + (flags | RequestFlags.FAST_ZERO));
        assertThat(target.asked).containsExactly("zero 0+4096 flags " + flags);
        assertThat(ended).containsExactly("zero");
    }

    @Test
    void rule8AnErrorOfOnePartIsThatOfTheWhole() {
        copied(0);
        source.holds = true;
        write("write", 100, REGION);
        assertThat(source.asked).hasSize(2);
        source.failNext();
        source.endNext();
        assertThat(ended).containsExactly("write failed");
    }

    @Test
    void rule9AFlushThatTheTargetFailedIsNotTheGuestsAndNothingOnTheTargetIsTrusted() {
        copied(0, 1);
        target.holds = true;
        mirror.flush(ends("flush"));
        target.failNext();
        target.holds = false;
        assertThat(ended).containsExactly("flush");
        assertThat(lost).hasSize(1);
        mirror.reattach(target, true);
        assertThat(mirror.copied(0)).isFalse();
        assertThat(mirror.copied(1)).isFalse();
    }

    @Test
    void rule9OfATargetThatMayHaveForgottenAllIsPending() {
        copied(0, 1);
        target.holds = true;
        write("write", 10, 100);
        target.failNext();
        target.holds = false;
        mirror.reattach(target, false);
        assertThat(mirror.copied(1)).isFalse();
    }

    @Test
    void rule9ATargetIsNotTakenUpWhileItStillWorksOnOldRequests() {
        copied(0);
        target.holds = true;
        write("write", 10, 100);
        loop.runFor(2 * STALL_NANOS);
        assertThat(mirror.attached()).isFalse();
        assertThatThrownBy(() -> mirror.reattach(target, true)).isInstanceOf(Invariant.Broken.class);
        target.endNext();
        target.holds = false;
        mirror.reattach(target, true);
        assertThat(mirror.attached()).isTrue();
    }

    @Test
    void rule9ASourceThatFailsAChangeMakesTheCopyUnderWayWorthless() {
        Hold hold = begin(0);
        source.holds = true;
        write("write", 10, 100);
        source.failNext();
        assertThat(ended).containsExactly("write failed");
        assertThat(hold.broken()).isNotNull();
        assertThat(mirror.end(hold, true)).isFalse();
        assertThat(mirror.copied(0)).isFalse();
    }
}
