package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * The process dies right after each record of the journal of a move that takes along what its disks lie over; the next start brings
 * it to an end, and nothing is there twice.
 */
@Timeout(300)
class ChainMoveRecoveryTest {
    private static final int RECORDS_MAX = 60;
    private static final Duration LONG = Duration.ofSeconds(100);

    @TempDir
    Path directory;

    @Test
    void everyRecordMayBeTheLast() throws Exception {
        for (int records = 1; records < RECORDS_MAX; records++) {
            try (World world = new World(directory.resolve("cut-after-" + records))) {
                if (crashAfter(world, records, records % 2 == 0)) {
                    assertThat(records).isGreaterThan(12);
                    return;
                }
            }
        }
        throw new AssertionError("the move never came to its end");
    }

    /** @return true if the move ended before so many records were written */
    private static boolean crashAfter(World world, int records, boolean keepSource) throws Exception {
        Layers layers = new Layers(world);
        byte[] below = Arrays.copyOf(layers.raw("base.raw", records), Layers.SIZE);
        List<byte[]> contents = List.of(
                layers.disk("vm1", below, "base.raw", records + 100),
                layers.disk("vm2", below, "base.raw", records + 200));
        MigrationRequest request =
                new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 0, false, keepSource).withChain();
        world.recordsUntilPowerCut.set(records);
        boolean whole = moveUntilPowerCut(world, request);
        world.recordsUntilPowerCut.set(Integer.MAX_VALUE);
        if (!whole) {
            world.reboot();
            List<MigrationStatus> recovered = world.engine.recover();
            assertThat(recovered).as("after %d records", records).hasSizeLessThanOrEqualTo(1);
            world.engine.goOn();
            MigrationStatus status = world.engine.await("m1", LONG);
            assertThat(status.state())
                    .as("after %d records: %s", records, status)
                    .isEqualTo(MigrationState.DONE);
        }
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2", "base.raw");
        assertThat(world.names("slow")).hasSize(keepSource ? 3 : 0);
        for (int i = 0; i < contents.size(); i++) {
            OpenDisk disk = world.openDisk("vm" + (i + 1));
            assertThat(Arrays.equals(Files.readAllBytes(layers.plain(disk)), contents.get(i)))
                    .as("after %d records, %s", records, disk.name())
                    .isTrue();
            assertThat(layers.names(disk.name())).containsExactly("fast/" + disk.name() + ".qcow2", "fast/base.raw");
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
