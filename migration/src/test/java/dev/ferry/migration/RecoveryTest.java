package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The process dies right after each record of its journal, under load, and the next start brings the move to an end.
 * Afterwards there is exactly one disk, where the inventory says, with every byte that the guest was told is written.
 */
@Timeout(300)
class RecoveryTest {
    private static final int SIZE = 2 * World.MIB;
    private static final int RECORDS_MAX = 40;
    private static final Duration LONG = Duration.ofSeconds(100);
    /** There are many moves in one test. */
    private static final long SHORT_ROUND_NANOS = 100_000_000L;

    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({
        "1,true,false,MIRROR",
        "1,false,true,MIRROR",
        "2,true,false,MIRROR",
        "2,true,false,TRACKING",
        "1,false,true,TRACKING",
        "2,true,false,SNAPSHOT",
        "1,true,true,SNAPSHOT"
    })
    void everyRecordMayBeTheLast(int disks, boolean verify, boolean keepSource, Strategy strategy) throws Exception {
        Set<Phase> phases = new HashSet<>();
        CutAfter.eachRecord(directory, RECORDS_MAX, cut -> move(cut, disks, verify, keepSource, strategy, phases));
        assertThat(phases).contains(Phase.PREPARE, Phase.CREATE, Phase.COPY, Phase.SWITCH, Phase.COMMIT);
        assertThat(phases.contains(Phase.VERIFY)).isEqualTo(verify);
    }

    private static boolean move(
            CutAfter cut, int disks, boolean verify, boolean keepSource, Strategy strategy, Set<Phase> phases)
            throws Exception {
        World world = cut.world();
        int records = cut.records();
        Guest[] guests = new Guest[disks];
        String[] names = new String[disks];
        for (int i = 0; i < disks; i++) {
            names[i] = "vm" + i;
            byte[] content = world.disk(names[i], SIZE, Provisioning.THIN, records);
            OpenDisk disk = world.openDisk(names[i]);
            guests[i] = new Guest(disk, content, records).start();
        }
        world.roundNanosMin = SHORT_ROUND_NANOS;
        boolean whole = cut.move(new MigrationRequest(List.of(names), "fast", null, 0, verify, keepSource)
                .by(StrategySettings.of(strategy, 20_000_000_000L)));
        Phase lastPhase = world.lastPhase;
        List<MigrationStatus> recovered = cut.restart();
        if (whole) {
            assertThat(recovered).isEmpty();
            return true;
        }
        phases.add(lastPhase);
        boolean goesOn = !recovered.isEmpty() && !recovered.getFirst().state().over();
        assertThat(goesOn)
                .as("%s, in %s", cut, lastPhase)
                .isEqualTo(
                        switch (lastPhase) {
                            case PREPARE, CREATE, COPY, VERIFY -> true;
                            case SWITCH -> goesOn;
                            case KEEP, ROLLBACK, COMMIT, UNDO, END -> false;
                        });
        for (int i = 0; i < disks; i++) {
            Path path = world.path(names[i]);
            assertThat(path.startsWith(world.directory.resolve("fast").toRealPath()))
                    .isEqualTo(!goesOn);
            guests[i].check(path);
            if (goesOn) {
                guests[i] = new Guest(world.openDisk(names[i]), Files.readAllBytes(path), records).start();
                guests[i].goOn(20);
            }
        }
        cut.goOn();
        for (int i = 0; i < disks; i++) {
            if (goesOn) {
                guests[i].goOn(20);
                guests[i].stop();
                world.openDisk(names[i]).flush();
                guests[i].check(world.path(names[i]));
            }
            assertThat(world.names("slow").contains(names[i] + ".raw")).isEqualTo(keepSource);
        }
        assertThat(world.names("fast")).as(cut.toString()).hasSize(disks);
        assertThat(world.names("journal")).noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
        return false;
    }

    @Test
    void aCrashDuringRecoveryIsRecoveredFrom() throws Exception {
        try (World world = new World(directory)) {
            byte[] content = world.disk("vm0", SIZE, Provisioning.THIN, 5);
            Guest guest = new Guest(world.openDisk("vm0"), content, 5).start();
            CutAfter cut = new CutAfter(world, 5);
            assertThat(cut.move(MigrationRequest.of("vm0", "fast"))).isFalse();
            for (int records = 0; records < 10; records++) {
                world.recordsUntilPowerCut.set(records / 2);
                world.reboot();
                recoverUntilPowerCut(world);
            }
            cut.restart();
            cut.goOn();
            guest.check(world.path("vm0"));
        }
    }

    private static void recoverUntilPowerCut(World world) throws Exception {
        try {
            world.engine.recover();
            world.engine.goOn();
            long deadline = System.nanoTime() + LONG.toNanos();
            while (!world.isCut() && System.nanoTime() < deadline) {
                if (world.engine.await("m1", Duration.ofMillis(2)).state().over()) {
                    return;
                }
            }
        } catch (World.PowerCut e) {
            assertThat(world.isCut()).isTrue();
        }
    }

    @Test
    void aDamagedJournalTouchesNothing() throws Exception {
        try (World world = new World(directory)) {
            world.disk("vm0", SIZE, Provisioning.THIN, 6);
            CutAfter cut = new CutAfter(world, 5);
            assertThat(cut.move(MigrationRequest.of("vm0", "fast"))).isFalse();
            Path journal = directory.resolve("journal/m1.journal");
            byte[] bytes = Files.readAllBytes(journal);
            bytes[40] ^= 1;
            Files.write(journal, bytes, StandardOpenOption.TRUNCATE_EXISTING);
            List<String> before = world.names("fast");
            List<MigrationStatus> recovered = cut.restart();
            assertThat(recovered).hasSize(1);
            assertThat(recovered.getFirst().state()).isEqualTo(MigrationState.FAILED);
            assertThat(recovered.getFirst().error()).contains("damaged").contains("no file was touched");
            assertThat(world.names("fast")).isEqualTo(before).isNotEmpty();
            assertThat(world.names("slow")).containsExactly("vm0.raw");
        }
    }

    @Test
    void aTargetThatIsNotThereAtTheStartIsNotForgotten() throws Exception {
        try (World world = new World(directory)) {
            world.disk("vm0", SIZE, Provisioning.THIN, 7);
            world.inventoryFails = true;
            String id = world.engine.start(MigrationRequest.of("vm0", "fast")).id();
            assertThat(world.engine.await(id, LONG).state()).isEqualTo(MigrationState.SWITCHED);
            world.reboot();
            assertThat(world.engine.recover().getFirst().state()).isEqualTo(MigrationState.SWITCHED);
            assertThat(world.names("slow")).containsExactly("vm0.raw");
            EngineRig.refused(ErrorKind.UNAVAILABLE, "ferry migration commit m1", () -> world.engine.beforeOpen("vm0"));
            world.inventoryFails = false;
            world.reboot();
            assertThat(world.engine.recover().getFirst().state()).isEqualTo(MigrationState.DONE);
            assertThat(world.names("slow")).isEmpty();
            assertThat(world.names("fast")).containsExactly("vm0.raw");
        }
    }

    @Test
    void numbersGoOnAfterAStart() throws Exception {
        try (World world = new World(directory)) {
            world.disk("vm0", SIZE, Provisioning.THIN, 8);
            String first =
                    world.engine.start(MigrationRequest.of("vm0", "fast")).id();
            world.engine.await(first, LONG);
            world.reboot();
            world.engine.recover();
            assertThat(world.engine.find(first).state()).isEqualTo(MigrationState.DONE);
            assertThat(world.engine.start(MigrationRequest.of("vm0", "slow")).id())
                    .isEqualTo("m2");
            world.engine.await("m2", LONG);
        }
    }
}
