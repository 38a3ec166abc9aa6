package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.stack.OpenDisk;
import java.io.RandomAccessFile;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Moves that are paused, hurried, slowed down and called off. */
class SteeringTest extends EngineRig {
    @Test
    void pausesGoesOnAndChangesItsRate() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 7);
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        assertThat(engine.pause(id).state()).isEqualTo(MigrationState.PAUSED);
        long settled = await(id, status -> status.bytesPerSecond() == 0).doneBytes();
        assertThat(engine.rate(id, 0).rateBytesPerSecond()).isZero();
        MigrationStatus still = engine.await(id, Duration.ofMillis(500));
        assertThat(still.doneBytes()).isBetween(settled, settled + (1 << 20));
        assertThat(still.state()).isEqualTo(MigrationState.PAUSED);
        engine.resume(id);
        assertDone(id);
    }

    @Test
    void pausesWhileItCompares() throws Exception {
        int size = 64 * World.MIB;
        byte[] content = world.disk("vm1", size, Provisioning.THIN, 24);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 24).start();
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        await(id, status -> status.phase() == Phase.VERIFY);
        engine.pause(id);
        guest.goOn(100);
        assertThat(engine.find(id).state()).isEqualTo(MigrationState.PAUSED);
        assertThat(engine.find(id).phase()).isEqualTo(Phase.VERIFY);
        engine.resume(id);
        engine.pause(id);
        engine.resume(id);
        assertDone(id);
        assertIntact(guest, disk);
    }

    @Test
    void aMoveThatIsPausedAtTheLastMomentIsNotSwitched() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 37);
        AtomicReference<Thread> pausing = new AtomicReference<>();
        world.whenWritten = record -> {
            if (record.phase() == Phase.SWITCH && pausing.get() == null) {
                Thread thread = Thread.ofPlatform().start(this::pause);
                pausing.set(thread);
                // It waits for the answer of the thread that runs this: its command is in the mailbox.
                while (thread.getState() != Thread.State.WAITING) {
                    Thread.onSpinWait();
                }
            }
        };
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus paused = await(id, status -> status.state() == MigrationState.PAUSED);
        Objects.requireNonNull(pausing.get()).join();
        assertThat(paused.disks().getFirst().switched()).isFalse();
        assertThat(engine.await(id, Duration.ofMillis(300)).state()).isEqualTo(MigrationState.PAUSED);
        engine.resume(id);
        assertDone(id);
    }

    private void pause() {
        try {
            engine.pause("m1");
        } catch (BlockException refused) {
            throw new AssertionError(refused);
        }
    }

    @Test
    void theRateIsThatOfTheWholeMove() throws Exception {
        for (String name : List.of("vm1", "vm2")) {
            world.disk(name, SIZE, Provisioning.THIN, 26);
        }
        MigrationRequest both = new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 4 * SLOW, false, false);
        MigrationStatus done = assertDone(engine.start(both).id());
        double seconds = done.doneBytes() / (4.0 * SLOW);
        assertThat(done.doneBytes()).isGreaterThanOrEqualTo(SIZE);
        assertThat(done.seconds()).as("each disk alone would take half").isGreaterThan(0.8 * seconds);
    }

    @Test
    void disksThatCopyShareTheRateAndTheLastHasItAll() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 26);
        world.disk("vm2", World.MIB, Provisioning.THIN, 27);
        MigrationRequest both = new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 4 * SLOW, false, false);
        String id = engine.start(both).id();
        assertDone(id);
        assertThat(world.rates).startsWith("vm1 " + 2 * SLOW).contains("vm2 " + 2 * SLOW);
        assertThat(world.rates.stream().filter(rate -> rate.startsWith("vm1")))
                .endsWith("vm1 " + 4 * SLOW)
                .isSubsetOf("vm1 " + 2 * SLOW, "vm1 " + 4 * SLOW);
    }

    @Test
    void theComparisonKeepsToTheRateAndTellsHowFarItIs() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 33);
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus copying = engine.find(id);
        assertThat(copying.verification()).isNull();
        engine.rate(id, SLOW / 2);
        MigrationStatus comparing = await(id, status -> {
            MigrationStatus.Verification seen = status.verification();
            return seen != null && seen.doneBytes() > 0 && seen.bytesPerSecond() > 0;
        });
        MigrationStatus.Verification first = Objects.requireNonNull(comparing.verification());
        assertThat(comparing.phase()).isEqualTo(Phase.VERIFY);
        assertThat(comparing.progress()).isEqualTo(100);
        assertThat(first.totalBytes()).isEqualTo(SIZE);
        assertThat(first.progress()).isBetween(0.1, 99.9);
        assertThat(first.etaSeconds()).isPositive();
        await(
                id,
                status -> status.verification() != null && status.verification().progress() > first.progress());
        engine.rate(id, 0);
        assertThat(assertDone(id).verification()).isNull();
    }

    @Test
    void progressNeverGoesBack() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 8);
        Guest guest = new Guest(world.openDisk("vm1"), content, 14).start();
        String id = engine.start(slowly("vm1", "fast", 4 * SLOW)).id();
        double before = 0;
        MigrationStatus status = engine.find(id);
        while (!status.state().over()) {
            assertThat(status.progress()).isBetween(before, 100.0);
            before = status.progress();
            status = engine.await(id, Duration.ofMillis(20));
        }
        assertThat(status.progress()).isEqualTo(100);
        guest.stop();
    }

    @Test
    void cancelsWhileCopying() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 9);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 15).start();
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        assertCancelled(engine.cancel(id), guest, disk);
        refused(ErrorKind.INVALID, "it is cancelled", () -> engine.cancel(id));
        refused(ErrorKind.INVALID, "it is cancelled", () -> engine.pause(id));
    }

    @Test
    void cancelsWhilePaused() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 10);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 16).start();
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        engine.pause(id);
        guest.goOn(50);
        assertCancelled(engine.cancel(id), guest, disk);
    }

    @Test
    void cancelsWhileTheTargetIsMade() throws Exception {
        world.disk("vm1", World.MIB, Provisioning.THIN, 11);
        try (RandomAccessFile file = new RandomAccessFile(world.path("vm1").toFile(), "rw")) {
            file.setLength(8L << 30);
        }
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", Provisioning.EAGER, 0, true, false);
        String id = engine.start(request).id();
        await(id, status -> status.phase() == Phase.CREATE);
        assertThat(engine.cancel(id).state()).isEqualTo(MigrationState.CANCELLED);
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.path("vm1")).exists();
    }

    @ParameterizedTest
    @EnumSource(
            value = Phase.class,
            names = {"CREATE", "COPY", "VERIFY", "SWITCH", "COMMIT"})
    void aCancelInAnyPhaseEndsWithOneDisk(Phase phase) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 28);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 28).start();
        CompletableFuture<String> answer = new CompletableFuture<>();
        world.whenWritten = record -> {
            if (record.phase() == phase && !answer.isDone()) {
                world.whenWritten = later -> {};
                Thread.ofVirtual().start(() -> cancelled("m1", answer));
            }
        };
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus end = ended(id);
        String said = answer.get(100, TimeUnit.SECONDS);
        if (end.state() == MigrationState.CANCELLED) {
            assertThat(phase).isNotEqualTo(Phase.COMMIT);
            assertCancelled(end, guest, disk);
        } else {
            assertThat(phase).isIn(Phase.SWITCH, Phase.COMMIT);
            assertThat(said).startsWith("move on migration m1 failed");
            assertThat(end.state()).isEqualTo(MigrationState.DONE);
            assertIntact(guest, disk);
            assertThat(world.names("slow")).isEmpty();
        }
    }

    private void cancelled(String id, CompletableFuture<String> answer) {
        try {
            answer.complete(engine.cancel(id).state().text());
        } catch (BlockException e) {
            answer.complete(String.valueOf(e.getMessage()));
        }
    }

    @Test
    void cannotBeCancelledOnceItIsDone() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 12);
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        assertDone(id);
        refused(ErrorKind.INVALID, "it is done", () -> engine.cancel(id));
        refused(ErrorKind.INVALID, "nothing to commit", () -> engine.commit(id));
        refused(ErrorKind.INVALID, "no way back was kept", () -> engine.rollback(id));
    }
}
