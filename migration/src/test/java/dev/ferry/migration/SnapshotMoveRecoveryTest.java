package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
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

    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void everyRecordMayBeTheLast(boolean keepSource) throws Exception {
        assertThat(CutAfter.eachRecord(directory, RECORDS_MAX, cut -> move(cut, keepSource)))
                .isGreaterThan(10);
    }

    private static boolean move(CutAfter cut, boolean keepSource) throws Exception {
        World world = cut.world();
        int records = cut.records();
        Layers layers = new Layers(world);
        Snapshots snapshots = new Snapshots(world);
        List<String> names = List.of("vm1", "vm2");
        List<byte[]> contents =
                List.of(snapshots.disk("vm1", null, records), snapshots.disk("vm2", null, records + 100));
        List<Snapshots.Held> before = List.of(snapshots.held("vm1"), snapshots.held("vm2"));
        Guest guest = new Guest(world.openDisk("vm1"), contents.get(0), records).start();
        boolean whole = cut.moveToTheEnd(new MigrationRequest(names, "fast", null, 0, false, keepSource).withChain());
        if (whole) {
            guest.stop();
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
                        .as(cut.toString())
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
}
