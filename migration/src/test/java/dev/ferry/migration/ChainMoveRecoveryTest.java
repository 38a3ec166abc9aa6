package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
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

    @TempDir
    Path directory;

    @Test
    void everyRecordMayBeTheLast() throws Exception {
        assertThat(CutAfter.eachRecord(directory, RECORDS_MAX, ChainMoveRecoveryTest::move))
                .isGreaterThan(12);
    }

    private static boolean move(CutAfter cut) throws Exception {
        World world = cut.world();
        int records = cut.records();
        Layers layers = new Layers(world);
        byte[] below = Arrays.copyOf(layers.raw("base.raw", records), Layers.SIZE);
        List<byte[]> contents = List.of(
                layers.disk("vm1", below, "base.raw", records + 100),
                layers.disk("vm2", below, "base.raw", records + 200));
        boolean keepSource = records % 2 == 0;
        boolean whole = cut.moveToTheEnd(
                new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 0, false, keepSource).withChain());
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2", "base.raw");
        assertThat(world.names("slow")).hasSize(keepSource ? 3 : 0);
        for (int i = 0; i < contents.size(); i++) {
            OpenDisk disk = world.openDisk("vm" + (i + 1));
            assertThat(Arrays.equals(Files.readAllBytes(layers.plain(disk)), contents.get(i)))
                    .as("%s, %s", cut, disk.name())
                    .isTrue();
            assertThat(layers.names(disk.name())).containsExactly("fast/" + disk.name() + ".qcow2", "fast/base.raw");
        }
        return whole;
    }
}
