package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.migration.MigrationStatus.WayBack;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.Grace;
import dev.ferry.migration.journal.Resumption;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The way back: kept open after the switch, gone, closed, and what may go wrong meanwhile. */
class WayBackTest extends EngineRig {
    private static final long HOUR_MILLIS = 3_600_000;

    private byte[] content = {};
    private OpenDisk disk;
    private Guest guest;

    @BeforeEach
    void makeADisk() throws Exception {
        content = world.disk("vm1", SIZE, Provisioning.THIN, 61);
        disk = world.openDisk("vm1");
        guest = new Guest(disk, content, 61);
    }

    private static WayBack wayBack(MigrationStatus status) {
        return Objects.requireNonNull(status.wayBack());
    }

    /** However busy the machine is, the guest can be held for what is left. */
    private static StrategySettings byStrategy(Strategy strategy) {
        return StrategySettings.of(strategy, 20_000_000_000L);
    }

    private static Resumption resumed(MigrationStatus status) {
        return Objects.requireNonNull(status.resumed());
    }

    private static boolean inStep(MigrationStatus status) {
        WayBack way = status.wayBack();
        return way != null && way.inStep();
    }

    /** A disk with a guest at work, moved, and the way back open. */
    private String kept(long graceMillis) throws Exception {
        return kept(graceMillis, Strategy.MIRROR);
    }

    private String kept(long graceMillis, Strategy strategy) throws Exception {
        guest.start();
        guest.goOn(50);
        String id = engine.start(MigrationRequest.of("vm1", "fast")
                        .by(byStrategy(strategy))
                        .withGrace(graceMillis))
                .id();
        await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        guest.goOn(200);
        return id;
    }

    /** The live map's regions that were written of late, of which there are 96, are none. */
    private void waitUntilNothingIsOpen() throws Exception {
        Path live = directory.resolve("journal/m1-back-0.live");
        long deadline = System.nanoTime() + LONG.toNanos();
        while (!Arrays.equals(Arrays.copyOfRange(Files.readAllBytes(live), 8192, 8204), new byte[12])) {
            assertThat(System.nanoTime()).isLessThan(deadline);
            engine.await("m1", Duration.ofMillis(10));
        }
    }

    private void reboot() throws Exception {
        world.reboot();
        engine = world.engine;
        assertThat(engine.recover()).hasSize(1);
        disk = world.openDisk("vm1");
    }

    private void assertIsAt(String datastore) throws Exception {
        guest.goOn(100);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
        assertThat(world.path("vm1")).startsWith(directory.resolve(datastore).toRealPath());
        String other = datastore.equals("fast") ? "slow" : "fast";
        assertThat(world.names(other)).isEmpty();
        assertThat(world.names(datastore)).containsExactly("vm1.raw");
        assertThat(world.names("journal")).noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
    }

    @Test
    void theSourceIsKeptInStepUntilTheCommit() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        MigrationStatus open = engine.find(id);
        assertThat(open.state()).isEqualTo(MigrationState.SWITCHED);
        assertThat(open.error()).isNull();
        WayBack way = wayBack(open);
        assertThat(way.openUntil()).isNull();
        assertThat(way.behindBytes()).isZero();
        guest.stop();
        disk.flush();
        guest.check(directory.resolve("slow/vm1.raw"));
        guest.check(world.path("vm1"));
        guest = new Guest(disk, content, 62).start();
        refused(ErrorKind.BUSY, "commit it or roll it back", () -> engine.start(MigrationRequest.of("vm1", "third")));
        refused(ErrorKind.INVALID, "cancel it any more", () -> engine.cancel(id));
        MigrationStatus done = engine.commit(id);
        assertThat(done.state()).as(done.toString()).isEqualTo(MigrationState.DONE);
        assertThat(done.wayBack()).isNull();
        assertIsAt("fast");
        refused(ErrorKind.INVALID, "the way back is closed", () -> engine.rollback(id));
    }

    @ParameterizedTest
    @CsvSource({
        "false, MIRROR",
        "true, MIRROR",
        "false, TRACKING",
        "true, TRACKING",
        "false, SNAPSHOT",
        "true, SNAPSHOT"
    })
    void aRollbackTakesTheGuestBackWithEveryByte(boolean keepSource, Strategy strategy) throws Exception {
        guest.start();
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", null, 0, true, keepSource)
                .by(byStrategy(strategy))
                .withGrace(HOUR_MILLIS);
        String id = engine.start(request).id();
        MigrationStatus open = await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        assertThat(wayBack(open).secondsLeft()).isBetween(3500L, 3600L);
        guest.goOn(300);
        MigrationStatus back = engine.rollback(id);
        assertThat(back.state()).as(back.toString()).isEqualTo(MigrationState.ROLLED_BACK);
        assertThat(back.disks().getFirst().switched()).isFalse();
        assertThat(back.disks().getFirst().rollbackPauseMillis()).isNotNull().isPositive();
        assertIsAt("slow");
        assertThat(engine.moving("vm1")).isFalse();
        refused(ErrorKind.INVALID, "rolled-back", () -> engine.rollback(id));
        refused(ErrorKind.INVALID, "rolled-back", () -> engine.commit(id));
        assertDone(engine.start(MigrationRequest.of("vm1", "third")).id());
    }

    @Test
    void whenTheGraceIsOverTheMoveIsCommitted() throws Exception {
        guest.start();
        assertDone(
                engine.start(MigrationRequest.of("vm1", "fast").withGrace(300)).id());
        assertIsAt("fast");
    }

    @ParameterizedTest
    @EnumSource
    void aSourceThatIsToStayIsWhatTheDiskWasAtTheCommit(Strategy strategy) throws Exception {
        Path source = world.path("vm1");
        guest.start();
        MigrationRequest request =
                new MigrationRequest(List.of("vm1"), "fast", null, 0, true, true).by(byStrategy(strategy));
        String id = engine.start(request.withGrace(Grace.UNTIL_COMMIT)).id();
        await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        guest.goOn(100);
        guest.stop();
        assertThat(engine.commit(id).state()).isEqualTo(MigrationState.DONE);
        guest.check(source);
        guest.check(world.path("vm1"));
    }

    @Test
    void aSourceThatIsToStayAndIsBehindIsSaidToBe() throws Exception {
        guest.start();
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", null, 0, true, true);
        String id = engine.start(request.withGrace(Grace.UNTIL_COMMIT)).id();
        await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        world.file("vm1.raw slow").mood = Mood.NO_CHANGES;
        guest.goOn(200);
        await(id, status -> !inStep(status));
        MigrationStatus done = engine.commit(id);
        assertThat(done.state()).isEqualTo(MigrationState.DONE);
        assertThat(done.error()).contains("slow/vm1.raw was behind by").contains("is not the disk");
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    @Test
    void anOldSideThatErrsIsBehindAndIsCaughtUp() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        world.file("vm1.raw slow").mood = Mood.NO_CHANGES;
        guest.goOn(200);
        MigrationStatus away = await(id, status -> !inStep(status));
        WayBack way = wayBack(away);
        assertThat(way.trouble()).contains("vm1").contains("input/output error");
        assertThat(way.behindBytes()).isPositive();
        assertThat(away.state()).isEqualTo(MigrationState.SWITCHED);
        refused(ErrorKind.BUSY, "is away", () -> engine.rollback(id));
        guest.goOn(200);
        world.file("vm1.raw slow").mood = Mood.WELL;
        engine.resume(id);
        await(id, WayBackTest::inStep);
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }

    @ParameterizedTest
    @EnumSource
    void aKillWhileItIsOpenLeavesItOpenAndCopiesLittleAgain(Strategy strategy) throws Exception {
        String id = kept(Grace.UNTIL_COMMIT, strategy);
        guest.stop();
        waitUntilNothingIsOpen();
        reboot();
        assertThat(world.path("vm1")).startsWith(directory.resolve("fast").toRealPath());
        guest = new Guest(disk, content, 66).start();
        guest.goOn(200);
        engine.goOn();
        MigrationStatus open = await(id, WayBackTest::inStep);
        assertThat(resumed(open).keptBytes()).isEqualTo(SIZE);
        assertThat(resumed(open).againBytes()).isZero();
        guest.goOn(100);
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }

    @Test
    void afterALossOfPowerWhatWasNotFlushedIsCopiedAgain() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        guest.stop();
        world.boot = "boot 2";
        reboot();
        guest = new Guest(disk, content, 67).start();
        engine.goOn();
        MigrationStatus open = await(id, WayBackTest::inStep);
        assertThat(resumed(open).told()).contains("a restart of the host");
        guest.goOn(100);
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }

    @Test
    void anOldSideThatIsAwayAtTheStartIsWaitedFor() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        guest.stop();
        Files.move(directory.resolve("slow"), directory.resolve("away"));
        reboot();
        guest = new Guest(disk, content, 68).start();
        engine.goOn();
        MigrationStatus open = await(id, status -> status.wayBack() != null);
        assertThat(wayBack(open).trouble()).contains("slow");
        refused(ErrorKind.BUSY, "is away", () -> engine.rollback(id));
        guest.goOn(200);
        Files.move(directory.resolve("away"), directory.resolve("slow"));
        engine.resume(id);
        await(id, WayBackTest::inStep);
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }

    @Test
    void aDaemonThatStopsLeavesTheWayBackOpen() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        guest.stop();
        engine.suspend(LONG);
        assertThat(engine.isIdle()).isTrue();
        reboot();
        engine.goOn();
        MigrationStatus open = await(id, WayBackTest::inStep);
        assertThat(resumed(open).againBytes()).isZero();
        guest = new Guest(disk, content, 69).start();
        assertThat(engine.commit(id).state()).isEqualTo(MigrationState.DONE);
        assertIsAt("fast");
    }

    @Test
    void aDecisionThatCannotBeWrittenLeavesTheGuestWhereItIs() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        world.decisionFails = true;
        refused(ErrorKind.IO, "journal", () -> engine.rollback(id));
        guest.goOn(100);
        assertThat(disk.path()).startsWith(directory.resolve("fast").toRealPath());
        world.decisionFails = false;
        await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }

    @Test
    void whatIsLeftToDoAfterARollbackIsDoneAgain() throws Exception {
        String id = kept(Grace.UNTIL_COMMIT);
        world.inventoryFails = true;
        MigrationStatus left = engine.rollback(id);
        assertThat(left.state()).as(left.toString()).isEqualTo(MigrationState.PARKED);
        assertThat(left.error()).contains("back on the source").contains("ferry migration rollback m1");
        assertThat(world.names("fast")).containsExactly("vm1.raw");
        assertThat(engine.moving("vm1")).isTrue();
        world.inventoryFails = false;
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }

    @Test
    void withoutAWayBackThereIsNothingToRollBack() throws Exception {
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        refused(ErrorKind.INVALID, "--grace", () -> engine.rollback(id));
        refused(ErrorKind.INVALID, "nothing to commit", () -> engine.commit(id));
        engine.cancel(id);
    }

    /** Four disks on loops of their own go and come back together; no record has some here and some there. */
    @Test
    void aGroupGoesBackByOneDecision() throws Exception {
        world.threads = 2;
        world.reboot();
        engine = world.engine;
        List<String> names = List.of("a1", "a2", "a3", "a4");
        List<Guest> guests = new ArrayList<>();
        for (String name : names) {
            byte[] bytes = world.disk(name, SIZE / 3, Provisioning.THIN, names.indexOf(name));
            guests.add(new Guest(world.openDisk(name), bytes, 17 + names.indexOf(name)).start());
        }
        List<Long> switched = new ArrayList<>();
        world.whenWritten = record -> switched.add(record.disks().stream()
                .filter(d -> d.authority() == Authority.TARGET)
                .count());
        MigrationRequest request = new MigrationRequest(names, "fast", null, 0, true, false);
        String id = engine.start(request.withGrace(Grace.UNTIL_COMMIT)).id();
        await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        for (Guest one : guests) {
            one.goOn(50);
        }
        MigrationStatus back = engine.rollback(id);
        assertThat(back.state()).as(back.toString()).isEqualTo(MigrationState.ROLLED_BACK);
        assertThat(switched).containsOnly(0L, 4L);
        assertThat(switched.getLast()).isZero();
        for (String name : names) {
            Guest one = guests.get(names.indexOf(name));
            one.goOn(20);
            one.stop();
            world.openDisk(name).flush();
            one.check(world.path(name));
        }
        assertThat(world.names("fast")).isEmpty();
    }

    /** A guest that comes while a move is at work finds its mirror in place, and no other is put over it. */
    @Test
    void aDiskThatIsAttachedWhileItMovesIsNotGuardedAnew() throws Exception {
        world.stacks.release(disk);
        String id = engine.start(slowly("vm1", "fast", 2 * SLOW).withGrace(Grace.UNTIL_COMMIT))
                .id();
        await(id, status -> status.doneBytes() > 500_000);
        engine.beforeOpen("vm1");
        disk = world.openDisk("vm1");
        guest = new Guest(disk, content, 71).start();
        guest.goOn(100);
        engine.rate(id, 0);
        await(id, status -> status.phase() == Phase.KEEP && inStep(status));
        engine.beforeOpen("vm1");
        guest.goOn(100);
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        assertIsAt("slow");
    }
}
