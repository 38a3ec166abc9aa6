package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.OpenDisk;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
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
    private static final Duration LONG = Duration.ofSeconds(100);

    @TempDir
    Path directory;

    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VHD", "VMDK_SPLIT", "QCOW2_DATA_FILE"})
    void everyRecordMayBeTheLast(Deltas kind) throws Exception {
        for (int records = 1; records < RECORDS_MAX; records++) {
            try (World world = new World(directory.resolve("cut-after-" + records))) {
                if (crashAfter(world, kind, records)) {
                    assertThat(records).isGreaterThan(12);
                    return;
                }
            }
        }
        throw new AssertionError("the move never came to its end");
    }

    /** @return true if the move ended before so many records were written */
    private static boolean crashAfter(World world, Deltas kind, int records) throws Exception {
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
        MigrationRequest request =
                new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 0, false, keepSource).withChain();
        boolean whole = crashAfter(world, request, records);
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
                    .as("after %d records, %s", records, disk.name())
                    .isTrue();
            assertThat(layers.names(disk.name())).hasSize(3).allMatch(name -> name.startsWith("fast/"));
        }
        return whole;
    }

    /** @return true if the move ended before so many records were written */
    static boolean crashAfter(World world, MigrationRequest request, int records) throws Exception {
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
