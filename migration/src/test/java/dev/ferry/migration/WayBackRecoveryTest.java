package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.Grace;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The process dies right after each record of the journal of a move that keeps the way back open and then goes back, or is
 * committed, under load. The next start finds one authority, the guest every byte, and the end can be reached.
 */
@Timeout(300)
class WayBackRecoveryTest {
    private static final int SIZE = 2 * World.MIB;
    private static final int RECORDS_MAX = 40;
    private static final long SHORT_ROUND_NANOS = 100_000_000L;
    private static final Duration STEP = Duration.ofMillis(2);

    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({
        "1,true,MIRROR",
        "1,false,MIRROR",
        "2,true,MIRROR",
        "1,true,TRACKING",
        "2,false,TRACKING",
        "1,true,SNAPSHOT"
    })
    void everyRecordMayBeTheLast(int disks, boolean rollback, Strategy strategy) throws Exception {
        Set<Phase> phases = new HashSet<>();
        CutAfter.eachRecord(directory, RECORDS_MAX, cut -> move(cut, disks, rollback, strategy, phases));
        assertThat(phases).contains(Phase.SWITCH, Phase.KEEP, rollback ? Phase.ROLLBACK : Phase.COMMIT);
    }

    private static boolean move(CutAfter cut, int disks, boolean rollback, Strategy strategy, Set<Phase> phases)
            throws Exception {
        World world = cut.world();
        int records = cut.records();
        Guest[] guests = new Guest[disks];
        String[] names = new String[disks];
        for (int i = 0; i < disks; i++) {
            names[i] = "vm" + i;
            byte[] content = world.disk(names[i], SIZE, Provisioning.THIN, records);
            guests[i] = new Guest(world.openDisk(names[i]), content, records).start();
        }
        Authority[] decided = {Authority.SOURCE};
        world.whenWritten = record -> decided[0] = record.disks().getFirst().authority();
        world.recordsUntilPowerCut.set(records);
        world.roundNanosMin = SHORT_ROUND_NANOS;
        try {
            world.engine.start(new MigrationRequest(List.of(names), "fast", null, 0, true, false)
                    .by(StrategySettings.of(strategy, 20_000_000_000L))
                    .withGrace(Grace.UNTIL_COMMIT));
        } catch (World.PowerCut e) {
            assertThat(world.isCut()).isTrue();
        }
        boolean whole = finish(world, rollback);
        phases.add(world.lastPhase);
        List<MigrationStatus> recovered = cut.restart();
        if (whole) {
            assertThat(recovered).isEmpty();
            return true;
        }
        for (int i = 0; i < disks; i++) {
            Path path = world.path(names[i]);
            String where = decided[0] == Authority.TARGET ? "fast" : "slow";
            assertThat(path)
                    .as(cut.toString())
                    .startsWith(world.directory.resolve(where).toRealPath());
            guests[i].check(path);
            OpenDisk disk = world.openDisk(names[i]);
            guests[i] = new Guest(disk, Files.readAllBytes(path), records).start();
            guests[i].goOn(20);
        }
        world.engine.goOn();
        assertThat(finish(world, rollback)).as(cut.toString()).isTrue();
        for (int i = 0; i < disks; i++) {
            guests[i].goOn(20);
            guests[i].stop();
            world.openDisk(names[i]).flush();
            guests[i].check(world.path(names[i]));
        }
        // A move that had been decided already is not decided otherwise by what was asked of it afterwards.
        MigrationState state = world.engine.find("m1").state();
        assertThat(state).isEqualTo(rollback ? MigrationState.ROLLED_BACK : MigrationState.DONE);
        String here = rollback ? "slow" : "fast";
        assertThat(world.names(here)).as(cut.toString()).hasSize(disks);
        assertThat(world.names(rollback ? "fast" : "slow")).as(cut.toString()).isEmpty();
        assertThat(world.names("journal")).noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
        return false;
    }

    /** @return true if the move has come to its end, false if the power was cut before */
    private static boolean finish(World world, boolean rollback) throws Exception {
        boolean asked = false;
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(100);
        while (System.nanoTime() < deadline) {
            if (world.isCut()) {
                return false;
            }
            MigrationStatus status;
            try {
                status = world.engine.await("m1", STEP);
            } catch (BlockException notStarted) {
                return false;
            }
            if (status.state().over()) {
                return !world.isCut();
            }
            MigrationStatus.WayBack way = status.wayBack();
            if (!asked && status.phase() == Phase.KEEP && way != null && way.inStep()) {
                asked = true;
                Thread.startVirtualThread(() -> ask(world.engine, rollback));
            }
        }
        throw new AssertionError("neither over nor dead: " + world.engine.find("m1"));
    }

    /** Where the power is cut nobody answers. A region may have become pending since it was looked at: asked again then. */
    private static void ask(MigrationEngine engine, boolean rollback) {
        boolean refused = true;
        while (refused) {
            try {
                if (rollback) {
                    engine.rollback("m1");
                } else {
                    engine.commit("m1");
                }
                refused = false;
            } catch (BlockException e) {
                refused = e.kind() == ErrorKind.BUSY;
            }
        }
    }

    @Test
    void anInventoryThatDoesNotFollowIsToldBeforeTheDiskIsOpened() throws Exception {
        try (World world = new World(directory)) {
            byte[] content = world.disk("vm0", SIZE, Provisioning.THIN, 9);
            world.openDisk("vm0");
            world.inventoryFails = true;
            String id = world.engine
                    .start(MigrationRequest.of("vm0", "fast").withGrace(Grace.UNTIL_COMMIT))
                    .id();
            while (world.engine.await(id, STEP).phase() != Phase.KEEP) {
                assertThat(world.engine.find(id).state().over()).isFalse();
            }
            assertThat(world.path("vm0"))
                    .startsWith(world.directory.resolve("slow").toRealPath());
            world.reboot();
            world.engine.recover();
            EngineRig.refused(ErrorKind.IO, "inventory", () -> world.engine.beforeOpen("vm0"));
            world.inventoryFails = false;
            world.engine.beforeOpen("vm0");
            OpenDisk disk = world.openDisk("vm0");
            assertThat(disk.path()).startsWith(world.directory.resolve("fast").toRealPath());
            Guest guest = new Guest(disk, content, 9).start();
            world.engine.goOn();
            assertThat(finish(world, true)).isTrue();
            guest.goOn(20);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm0"));
        }
    }
}
