package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.OpenDisk;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The process dies right after each record of the journal of a move that takes deltas along, or disks of several files; the next start
 * brings it to an end, and nothing is there twice.
 */
@Timeout(600)
class DeltaRecoveryTest {
    private static final int RECORDS_MAX = 80;

    @TempDir
    Path directory;

    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VHD", "VMDK_SPLIT", "QCOW2_DATA_FILE"})
    void everyRecordMayBeTheLast(Deltas kind) throws Exception {
        assertThat(CutAfter.eachRecord(directory, RECORDS_MAX, cut -> move(cut, kind)))
                .isGreaterThan(12);
    }

    private static boolean move(CutAfter cut, Deltas kind) throws Exception {
        World world = cut.world();
        int records = cut.records();
        Layers layers = new Layers(world);
        byte[] below = kind.below(world, records);
        List<byte[]> contents =
                List.of(kind.over(world, "vm1", below, records + 100), kind.over(world, "vm2", below, records + 200));
        boolean keepSource = records % 2 == 0;
        boolean taken = records % 3 == 0;
        Path first = world.directory.resolve("fast").resolve(kind.files().getFirst());
        if (taken) {
            Files.write(first, "another".getBytes(StandardCharsets.UTF_8));
        }
        boolean whole = cut.moveToTheEnd(
                new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 0, false, keepSource).withChain());
        List<String> wanted = new ArrayList<>(List.of(kind.disk("vm1"), kind.disk("vm2")));
        wanted.addAll(kind.files());
        if (taken) {
            wanted.add(kind.files().getFirst().replace(".", "-2."));
            assertThat(first).hasContent("another");
        }
        assertThat(world.names("fast")).containsExactlyInAnyOrderElementsOf(wanted);
        assertThat(world.names("slow"))
                .hasSize(
                        keepSource
                                ? kind.files().size() + 2 * kind.filesOf("vm1").size()
                                : 0);
        for (int i = 0; i < contents.size(); i++) {
            OpenDisk disk = world.openDisk("vm" + (i + 1));
            assertThat(Arrays.equals(Files.readAllBytes(layers.plain(disk)), contents.get(i)))
                    .as("%s, %s", cut, disk.name())
                    .isTrue();
            assertThat(layers.names(disk.name())).hasSize(3).allMatch(name -> name.startsWith("fast/"));
        }
        return whole;
    }
}
