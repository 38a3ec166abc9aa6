package dev.ferry.migration.copy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.Fault;
import dev.ferry.filter.FaultRule;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.SimLoop;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class CopyTest {
    private static final BufferPool BUFFERS = BufferPool.ofBytes(64 << 20);
    private static final int REGION = 64 << 10;
    private static final long SIZE = 4 << 20;

    private final SimLoop loop = new SimLoop(1);
    private final MemoryDisk source = new MemoryDisk(SIZE);
    private final MemoryDisk target = new MemoryDisk(SIZE);
    private final Fault sourceFault = new Fault(source, "source", new SplittableRandom(1));
    private final List<@Nullable BlockError> ends = new ArrayList<>();

    private Mirror mirror(boolean targetIsZero) {
        MirrorSettings settings = new MirrorSettings(REGION, 1_000_000_000L, targetIsZero);
        return new Mirror(loop, sourceFault, target, settings, why -> {});
    }

    private Copier copier(Mirror mirror, long rate) {
        return new Copier(loop, mirror, BUFFERS, new CopierSettings(2, REGION, rate));
    }

    private static byte[] filled(int length, int value) {
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) value);
        return bytes;
    }

    private void assertSame() {
        assertThat(target.bytes(0, (int) SIZE)).isEqualTo(source.bytes(0, (int) SIZE));
    }

    @Test
    void holesAndStoredZeroesAreNotWritten() {
        source.fill(0, filled(8192, 1));
        source.fill(1 << 20, new byte[1 << 20]);
        Mirror mirror = mirror(true);
        Copier copier = copier(mirror, 0);
        copier.start(ends::add);
        loop.run();
        assertThat(ends).containsExactly((BlockError) null);
        assertThat(mirror.pendingBytes()).isZero();
        assertThat(target.allocatedBytes()).isEqualTo(8192);
        assertThat(copier.progress().copiedBytes()).isEqualTo(8192);
        assertThat(copier.progress().doneBytes()).as("holes are no work").isEqualTo(8192 + (1 << 20));
        assertThat(copier.progress().fraction()).isEqualTo(1);
        assertSame();
    }

    @Test
    void aTargetWithOldContentIsZeroedWhereTheSourceIs() {
        target.fill(0, filled((int) SIZE, 7));
        source.fill(REGION, filled(REGION / 2, 1));
        copier(mirror(false), 0).start(ends::add);
        loop.run();
        assertSame();
        assertThat(target.allocatedBytes()).isEqualTo(REGION / 2);
    }

    @Test
    void theRateHoldsAcrossPausesAndNewStartsAndCanBeChanged() {
        source.fill(0, filled((int) SIZE, 1));
        Copier copier = copier(mirror(true), 1 << 20);
        copier.start(ends::add);
        for (int i = 0; i < 20; i++) {
            loop.runFor(50_000_000);
            copier.pause();
            copier.resume();
            copier.rate(1 << 20);
            if (i % 5 == 4) {
                copier.stop(error -> {});
                loop.runFor(1);
                copier.start(ends::add);
            }
        }
        long afterOneSecond = copier.progress().doneBytes();
        assertThat(afterOneSecond).isBetween((1L << 20) - 3 * REGION, (1L << 20) + (1L << 20) / 20 + 3 * REGION);
        copier.rate(0);
        loop.runFor(1_000_000);
        assertThat(copier.progress().pendingBytes()).isZero();
    }

    @Test
    void aBoundOnTheRateLeavesTheOrderOfTheDisk() {
        source.fill(0, filled((int) SIZE, 1));
        Mirror mirror = mirror(true);
        copier(mirror, 1 << 20).start(ends::add);
        boolean whole = false;
        while (!whole) {
            loop.runFor(10_000_000);
            long first = mirror.nextPending(0);
            whole = first < 0;
            for (long region = first; region >= 0 && region < mirror.regions(); region++) {
                boolean inOrder = !mirror.copied(region) || region - first < 2;
                assertThat(inOrder)
                        .as("region %d, with %d not copied", region, first)
                        .isTrue();
            }
        }
        assertSame();
    }

    @Test
    void aPausedCopierBeginsNothing() {
        source.fill(0, filled((int) SIZE, 1));
        Copier copier = copier(mirror(true), 0);
        copier.pause();
        copier.start(ends::add);
        loop.run();
        assertThat(copier.progress().doneBytes()).isZero();
        copier.resume();
        loop.run();
        assertSame();
    }

    @Test
    void stoppingTwiceAndBeforeTheEndAnswersEverybodyOnce() {
        source.fill(0, filled((int) SIZE, 1));
        Copier copier = copier(mirror(true), 1 << 20);
        copier.start(ends::add);
        loop.runFor(1_000_000);
        List<String> idle = new ArrayList<>();
        copier.stop(error -> idle.add("first"));
        copier.stop(error -> idle.add("second"));
        loop.run();
        assertThat(idle).containsExactly("first", "second");
        assertThat(ends).hasSize(1);
        assertThat(Objects.requireNonNull(ends.getFirst()).kind()).isEqualTo(ErrorKind.CANCELLED);
    }

    @Test
    void whatIsPendingAgainBehindTheCopierIsCopiedInAnotherRound() {
        source.fill(0, filled((int) SIZE, 1));
        Mirror mirror = mirror(true);
        Copier copier = copier(mirror, 1 << 20);
        copier.start(ends::add);
        loop.runFor(1_000_000_000);
        assertThat(mirror.copied(0)).isTrue();
        sourceFault.rule(FaultRule.fail(FaultRule.WRITE, ErrorKind.IO));
        mirror.write(10, IoBuffer.allocate(4096), 0, 100, 0, ends::add);
        sourceFault.rule(null);
        assertThat(ends.removeFirst()).as("the source's error is the guest's").isNotNull();
        assertThat(mirror.copied(0)).isFalse();
        copier.rate(0);
        assertThat(loop.runUntil(() -> !ends.isEmpty(), loop.nanoTime() + 10_000_000_000L))
                .isTrue();
        assertThat(ends).containsExactly((BlockError) null);
        assertThat(mirror.pendingBytes()).isZero();
        assertSame();
    }

    @Test
    void anErrorOfTheSourceEndsTheCopyAndLeavesTheRegionPending() {
        source.fill(0, filled((int) SIZE, 1));
        sourceFault.rule(new FaultRule(FaultRule.READ, 1 << 20, (1 << 20) + 1, FaultRule.MILLION, ErrorKind.IO));
        Mirror mirror = mirror(true);
        Copier copier = copier(mirror, 0);
        copier.start(ends::add);
        loop.run();
        assertThat(Objects.requireNonNull(ends.getFirst()).kind()).isEqualTo(ErrorKind.IO);
        assertThat(mirror.copied((1 << 20) / REGION)).isFalse();
        assertThat(mirror.attached()).as("it is not the target's error").isTrue();
        sourceFault.rule(null);
        copier.start(ends::add);
        loop.run();
        assertSame();
    }

    // ---- verifier

    private @Nullable VerifyResult verified;

    private @Nullable BlockError verifyFailure;

    private void verify(Mirror mirror) {
        startVerifier(mirror, 0);
        loop.run();
    }

    private Verifier startVerifier(Mirror mirror, long bytesPerSecond) {
        Verifier verifier = new Verifier(loop, mirror, BUFFERS, Runnable::run, new VerifierSettings(3, 8));
        verifier.rate(bytesPerSecond);
        start(verifier);
        return verifier;
    }

    private void start(Verifier verifier) {
        verified = null;
        verifier.start(new VerifyListener() {
            @Override
            public void verified(VerifyResult result) {
                verified = result;
            }

            @Override
            public void failed(BlockError why) {
                verifyFailure = why;
            }
        });
    }

    @Test
    void whatIsReadToBeComparedKeepsToTheRateAndWhatIsNotReadIsFree() {
        source.fill(0, filled(3 << 20, 1));
        Mirror mirror = mirror(true);
        copier(mirror, 0).start(ends::add);
        loop.run();
        Verifier verifier = startVerifier(mirror, 1 << 20);
        loop.runFor(1_000_000_000);
        assertThat(verifier.verifiedBytes())
                .isBetween((1L << 20) - 4 * REGION, (1L << 20) + (1L << 20) / 20 + 4 * REGION);
        loop.runFor(2_100_000_000L);
        assertThat(verified).as("a last MiB of zeroes takes no time").isNotNull();
        Verifier hurried = startVerifier(mirror, 1 << 10);
        loop.runFor(1_000_000_000);
        hurried.rate(0);
        loop.runFor(1_000_000);
        assertThat(verified).isNotNull();
        Verifier stopped = startVerifier(mirror, 1 << 10);
        loop.runFor(1_000_000_000);
        stopped.stop();
        loop.run();
        assertThat(Objects.requireNonNull(verifyFailure).kind()).isEqualTo(ErrorKind.CANCELLED);
    }

    @Test
    void theNextRegionIsReadWhileTheBytesOfOneAreCompared() {
        source.fill(0, filled((int) SIZE, 1));
        Mirror mirror = mirror(true);
        copier(mirror, 0).start(ends::add);
        loop.run();
        Deque<Runnable> comparisons = new ArrayDeque<>();
        Verifier verifier = new Verifier(loop, mirror, BUFFERS, comparisons::add, new VerifierSettings(3, 8));
        verifier.effort(1, REGION);
        start(verifier);
        loop.run();
        assertThat(comparisons).as("regions read, as many as there are buffers").hasSize(3);
        assertThat(verifier.workedBytes()).isEqualTo(3L * REGION);
        while (!comparisons.isEmpty()) {
            comparisons.remove().run();
            loop.run();
        }
        assertThat(Objects.requireNonNull(verified).equal()).isTrue();
        assertThat(verifier.workedBytes()).isEqualTo(SIZE);
    }

    @Test
    void equalSidesHaveTheSameDigestAndADifferenceIsNamed() {
        source.fill(300_000, filled(500_000, 3));
        Mirror mirror = mirror(true);
        copier(mirror, 0).start(ends::add);
        loop.run();
        verify(mirror);
        VerifyResult equal = Objects.requireNonNull(verified);
        assertThat(equal.equal()).isTrue();
        assertThat(equal.sourceDigest()).hasSize(64).isEqualTo(equal.targetDigest());
        assertThat(equal.bytes()).isEqualTo(SIZE);
        target.fill(REGION * 5L + 4096 + 17, filled(1, 99));
        verify(mirror);
        VerifyResult different = Objects.requireNonNull(verified);
        assertThat(different.equal()).isFalse();
        assertThat(different.sourceDigest()).isEqualTo(equal.sourceDigest()).isNotEqualTo(different.targetDigest());
        assertThat(different.differences()).containsExactly(new DifferingRange(REGION * 5L + 4096, 4096));
    }

    @Test
    void aRegionThatIsNotCopiedCannotBeVerified() {
        source.fill(0, filled(100, 1));
        verify(mirror(true));
        assertThat(verified).isNull();
        assertThat(Objects.requireNonNull(verifyFailure).kind()).isEqualTo(ErrorKind.BUSY);
    }
}
