package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Overlays;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Moves by overlays on real files and loops, with a guest at work that knows what its disk must hold. */
class SnapshotTest extends EngineRig {
    private static MigrationRequest snapshots(long bytesPerSecond, boolean verify) {
        return new MigrationRequest(List.of("vm1"), "fast", null, bytesPerSecond, verify, false)
                .by(StrategySettings.of(Strategy.SNAPSHOT, DOWNTIME_NANOS));
    }

    /** With so short a downtime that rounds are needed. */
    private static MigrationRequest inRounds(long bytesPerSecond) {
        return snapshots(bytesPerSecond, false).by(StrategySettings.of(Strategy.SNAPSHOT, 200_000_000L));
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void movesADiskInUse(boolean verify) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 71);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 71).start();
        String id = engine.start(snapshots(0, verify)).id();
        assertThat(assertDone(id).verified()).isEqualTo(verify);
        assertMoved(id, Strategy.SNAPSHOT, guest, disk);
    }

    /** Slow enough that what is written meanwhile is too much for a hold, so that there are several overlays. */
    @Test
    void whatIsWrittenMeanwhileIsFrozenInItsTurn() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 72);
        Path base = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 72).start();
        String id = engine.start(inRounds(4 * SLOW)).id();
        await(id, status -> Overlays.of(base).size() >= 3);
        byte[] frozen = Files.readAllBytes(base);
        guest.goOn(100);
        assertThat(Files.readAllBytes(base)).as("the file stands still").isEqualTo(frozen);
        assertCancelled(engine.cancel(id), guest, disk);
    }

    @Test
    void oneThatIsCalledOffMergesWhatIsInItsOverlays() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 73);
        Path base = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 73).start();
        String id = engine.start(snapshots(2 * SLOW, true)).id();
        await(id, status -> status.doneBytes() > 200_000 && !Overlays.of(base).isEmpty());
        guest.goOn(200);
        assertCancelled(engine.cancel(id), guest, disk);
    }

    @Test
    void afterAKillWhatIsInOverlaysIsFoundAndTheMoveGoesOn() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 74);
        Path base = world.path("vm1");
        Guest guest = new Guest(world.openDisk("vm1"), content, 74).start();
        String id = engine.start(inRounds(2 * SLOW)).id();
        await(id, status -> status.doneBytes() > 200_000 && Overlays.of(base).size() >= 2);
        guest.goOn(200);
        guest.stop();
        engine.pause(id);
        world.reboot();
        engine = world.engine;
        assertThat(engine.recover()).hasSize(1);
        OpenDisk disk = world.openDisk("vm1");
        Guest next = new Guest(disk, content, 75).start();
        engine.goOn();
        MigrationStatus found = await(id, now -> now.resumed() != null);
        assertThat(Objects.requireNonNull(found.resumed()).count()).isEqualTo(1);
        engine.rate(id, 0);
        engine.mode(id, Strategy.MIRROR);
        engine.resume(id);
        assertThat(assertDone(id).mode()).isEqualTo("mirror");
        next.goOn(100);
        assertIntact(next, disk);
        assertThat(world.names("slow")).isEmpty();
    }

    /** Nobody knows of the move any more: the overlays are part of the disk all the same. */
    @ParameterizedTest
    @ValueSource(ints = {SIZE, SIZE + 100})
    void withoutItsJournalADiskIsOpenedWithWhatIsInItsOverlays(int sizeBytes) throws Exception {
        byte[] content = world.disk("vm1", sizeBytes, Provisioning.THIN, 76);
        Path base = world.path("vm1");
        Guest guest = new Guest(world.openDisk("vm1"), content, 76).start();
        String id = engine.start(inRounds(2 * SLOW)).id();
        await(id, status -> Overlays.of(base).size() >= 2);
        guest.goOn(200);
        guest.stop();
        engine.pause(id);
        world.reboot();
        for (String name : world.names("journal")) {
            Files.delete(directory.resolve("journal").resolve(name));
        }
        world.engine.beforeOpen("vm1");
        guest.check(base);
        assertThat(Overlays.of(base)).isEmpty();
        assertThat(world.names("slow")).containsExactly("vm1.raw");
    }

    /** With so short a downtime, and a rate, that there are overlays when little is left. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aSourceThatIsToStayIsWholeAtTheSwitch(boolean verify) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 80);
        Path source = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 80).start();
        String id = engine.start(new MigrationRequest(List.of("vm1"), "fast", null, 4 * SLOW, verify, true)
                        .by(StrategySettings.of(Strategy.SNAPSHOT, 200_000_000L)))
                .id();
        await(id, status -> Overlays.of(source).size() >= 2);
        guest.goOn(100);
        guest.stop();
        engine.rate(id, 0);
        assertDone(id);
        assertThat(world.names("slow")).containsExactly("vm1.raw");
        guest.check(source);
        guest.check(world.path("vm1"));
        Guest next = new Guest(disk, content, 81).start();
        next.goOn(100);
        assertIntact(next, disk);
    }

    /** At so low a rate that the merge of a whole disk would take longer than anybody waits. */
    @Test
    void whatIsMergedBeforeTheSwitchIsBoundedToo() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 83);
        Path source = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 83).start();
        String id = engine.start(new MigrationRequest(List.of("vm1"), "fast", null, 8 * SLOW, false, true)
                        .by(StrategySettings.of(Strategy.SNAPSHOT, 100_000_000L)))
                .id();
        await(id, status -> Overlays.of(source).size() >= 2);
        guest.goOn(500);
        guest.stop();
        FlakyDevice file = world.file("vm1.raw slow");
        file.mood = Mood.SILENT;
        await(id, status -> file.withoutAnswer() > 0);
        engine.rate(id, SLOW / 64);
        OnLoop.run(disk.loop().loop(), file::wakeUp);
        MigrationStatus merging = engine.await(id, Duration.ofSeconds(2));
        assertThat(merging.state()).as(merging.toString()).isNotEqualTo(MigrationState.DONE);
        assertThat(Overlays.of(source)).isNotEmpty();
        engine.rate(id, 0);
        assertDone(id);
        guest.check(source);
    }

    /** The file cannot take what is in the overlays: the guest stays on them, and nothing is lost. */
    @Test
    void aSourceThatCannotBeMadeWholeEndsTheMoveAndNotTheGuest() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 82);
        Path source = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 82).start();
        String id = engine.start(new MigrationRequest(List.of("vm1"), "fast", null, 2 * SLOW, false, true)
                        .by(StrategySettings.of(Strategy.SNAPSHOT, DOWNTIME_NANOS)))
                .id();
        await(id, status -> !Overlays.of(source).isEmpty() && status.doneBytes() > 200_000);
        guest.goOn(100);
        world.file("vm1.raw slow").mood = Mood.NO_CHANGES;
        engine.rate(id, 0);
        MigrationStatus failed = ended(id);
        assertThat(failed.state()).as(failed.toString()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("its overlays cannot be merged");
        guest.goOn(100);
        guest.stop();
        assertThat(Overlays.of(source)).isNotEmpty();
        world.file("vm1.raw slow").mood = Mood.WELL;
        world.reboot();
        world.engine.beforeOpen("vm1");
        guest.check(source);
        assertThat(world.names("slow")).containsExactly("vm1.raw");
        assertThat(world.names("fast")).isEmpty();
    }

    @Test
    void thinStaysThinAndDiscardsAndZeroesCount() throws Exception {
        assertThinStaysThinAndDiscardsAndZeroesCount(snapshots(SLOW, true), 77);
    }

    /** A crash in the middle of their deletion leaves nothing that is taken for part of the disk. */
    @Test
    void overlaysWithoutTheFirstAreNoPartOfADisk() throws Exception {
        Path base = directory.resolve("slow/vm1.raw");
        Files.createFile(directory.resolve("slow/.vm1.raw.overlay-1"));
        Files.createFile(directory.resolve("slow/.vm1.raw.overlay-2"));
        assertThat(Overlays.of(base)).hasSize(2);
        Files.delete(directory.resolve("slow/.vm1.raw.overlay-1"));
        assertThat(Overlays.of(base)).isEmpty();
        Overlays.delete(base);
        assertThat(world.names("slow")).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aDiskThatIsNoWholeNumberOfSectorsIsMovedSoToo(boolean cancelled) throws Exception {
        byte[] content = world.disk("vm1", SIZE + 100, Provisioning.THIN, 79);
        Path base = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 79).start();
        String id = engine.start(snapshots(cancelled ? 2 * SLOW : 0, true)).id();
        if (cancelled) {
            await(
                    id,
                    status -> status.doneBytes() > 200_000 && !Overlays.of(base).isEmpty());
            guest.goOn(200);
            assertCancelled(engine.cancel(id), guest, disk);
            assertThat(Files.size(base)).isEqualTo(SIZE + 100);
        } else {
            assertDone(id);
            assertMoved(id, Strategy.SNAPSHOT, guest, disk);
        }
    }
}
