package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The process dies right after each record of the journal of a move that takes along the internal snapshots of its disks, under load;
 * the next start brings it to an end, with every snapshot as it was and every byte that the guests wrote, and nothing is there twice.
 */
@Timeout(580)
class SnapshotMoveRecoveryTest {
    private static final int RECORDS_MAX = 60;
    private static final Duration LONG = Duration.ofSeconds(100);

    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void everyRecordMayBeTheLast(boolean keepSource) throws Exception {
        for (int records = 1; records < RECORDS_MAX; records++) {
            try (World world = new World(directory.resolve("cut-after-" + records))) {
                if (crashAfter(world, records, keepSource)) {
                    assertThat(records).isGreaterThan(10);
                    return;
                }
            }
        }
        throw new AssertionError("the move never came to its end");
    }

    /** @return true if the move ended before so many records were written */
    private static boolean crashAfter(World world, int records, boolean keepSource) throws Exception {
        Layers layers = new Layers(world);
        Snapshots snapshots = new Snapshots(world);
        List<String> names = List.of("vm1", "vm2");
        List<byte[]> contents =
                List.of(snapshots.disk("vm1", null, records), snapshots.disk("vm2", null, records + 100));
        List<Snapshots.Held> before = List.of(snapshots.held("vm1"), snapshots.held("vm2"));
        Guest guest = new Guest(world.openDisk("vm1"), contents.get(0), records).start();
        MigrationRequest request = new MigrationRequest(names, "fast", null, 0, false, keepSource).withChain();
        world.recordsUntilPowerCut.set(records);
        boolean whole = moveUntilPowerCut(world, request);
        world.recordsUntilPowerCut.set(Integer.MAX_VALUE);
        if (whole) {
            guest.stop();
        } else {
            world.reboot();
            List<MigrationStatus> recovered = world.engine.recover();
            assertThat(recovered).as("after %d records", records).hasSizeLessThanOrEqualTo(1);
            world.engine.goOn();
            MigrationStatus status = world.engine.await("m1", LONG);
            assertThat(status.state())
                    .as("after %d records: %s", records, status)
                    .isEqualTo(MigrationState.DONE);
        }
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2");
        assertThat(world.names("slow")).hasSize(keepSource ? 2 : 0);
        for (int i = 0; i < names.size(); i++) {
            OpenDisk disk = world.openDisk(names.get(i));
            Path plain = layers.plain(disk);
            if (i == 0) {
                guest.check(plain);
            } else {
                assertThat(Arrays.mismatch(Files.readAllBytes(plain), contents.get(i)))
                        .as("after %d records", records)
                        .isEqualTo(-1);
            }
            while (world.stacks.find(names.get(i)).isPresent()) {
                world.stacks.release(disk);
            }
            Snapshots.forgetLeaks(world.path(names.get(i)));
            snapshots.assertHolds(world.path(names.get(i)), before.get(i));
        }
        return whole;
    }

    private static boolean moveUntilPowerCut(World world, MigrationRequest request) throws Exception {
        try {
            String id = world.engine.start(request).id();
            long deadline = System.nanoTime() + LONG.toNanos();
            while (System.nanoTime() < deadline) {
                if (world.isCut()) {
                    return false;
                }
                if (world.engine.await(id, Duration.ofMillis(2)).state().over()) {
                    return !world.isCut();
                }
            }
            throw new AssertionError("neither done nor dead");
        } catch (World.PowerCut e) {
            return false;
        }
    }
}
