package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.stack.OpenDisk;
import dev.ferry.testkit.LoopMount;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Stores with other sectors, to and fro, past the page cache and through it, and disks that are no whole number of them: the
 * guest has the disk that it had.
 */
@Timeout(300)
class SectorMoveTest {
    private static final long STORE_BYTES = 400L * World.MIB;
    private static final Duration LONG = Duration.ofSeconds(100);
    private static final Duration LOOK = Duration.ofMillis(250);
    private static final long LOOKS_MAX = LONG.dividedBy(LOOK);

    @TempDir
    Path folder;

    private final LoopDefects defects = new LoopDefects();

    @AfterEach
    void stopLooking() {
        defects.close();
    }

    @ParameterizedTest
    @CsvSource({
        "xfs, true, 0",
        "xfs, true, 512",
        "xfs, true, 1024",
        "xfs, false, 1",
        "ext4, true, 3584",
        "ext4, false, 513",
    })
    void aDiskInUseGoesToLargeSectorsAndBack(String kind, boolean direct, int moreBytes) throws Exception {
        Path small = Files.createDirectory(folder.resolve("small"));
        try (LoopMount large = LoopMount.of(folder, kind, STORE_BYTES, 4096);
                World world = new World(small)) {
            world.direct = direct;
            world.add("large", large.path());
            byte[] content = world.disk("vm1", 2 * World.MIB + moreBytes, Provisioning.THIN, moreBytes);
            OpenDisk disk = world.openDisk("vm1");
            assertThat(disk.sizeBytes()).isEqualTo(content.length);
            Guest guest = new Guest(disk, content, moreBytes).start();
            for (String to : List.of("large", "fast")) {
                guest.goOn(50);
                String id = world.engine.start(MigrationRequest.of("vm1", to)).id();
                assertDone(world, id);
                assertThat(disk.sizeBytes()).isEqualTo(content.length);
                assertThat(disk.front().geometry().blockSizeBytes()).isEqualTo(1);
                assertThat(Files.size(world.path("vm1"))).isEqualTo(content.length);
            }
            guest.goOn(50);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
        }
    }

    /** Qcow2 knows whole sectors only: what it rounds up is not the guest's, nor that of who comes after it. */
    @ParameterizedTest
    @CsvSource({"1, MIRROR", "1000, MIRROR", "511, TRACKING"})
    void aDiskThatIsNoWholeNumberOfSectorsPassesThroughQcow2(int moreBytes, Strategy strategy) throws Exception {
        try (World world = new World(folder)) {
            byte[] content = world.disk("vm1", 2 * World.MIB + moreBytes, Provisioning.THIN, moreBytes);
            OpenDisk disk = world.openDisk("vm1");
            Guest guest = new Guest(disk, content, moreBytes).start();
            guest.goOn(50);
            move(world, ImageFormat.QCOW2, "fast", strategy);
            assertThat(disk.sizeBytes()).isEqualTo(content.length);
            guest.goOn(50);
            guest.stop();
            disk.flush();

            world.reboot();
            assertThat(world.engine.recover()).isEmpty();
            disk = world.openDisk("vm1");
            assertThat(disk.sizeBytes()).as("by the inventory").isEqualTo(content.length);
            assertThat(world.stacks.sizeBytes(world.disk("vm1").spec())).isEqualTo(content.length);
            guest = new Guest(disk, content, moreBytes + 1).start();
            guest.goOn(50);
            move(world, ImageFormat.RAW, "third", strategy);
            guest.goOn(50);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
        }
    }

    private void move(World world, ImageFormat format, String to, Strategy strategy) throws Exception {
        StrategySettings how = StrategySettings.of(strategy, LONG.toNanos());
        MigrationRequest request =
                new MigrationRequest(List.of("vm1"), to, format, null, 0, true, false, 0, PaceSettings.DEFAULT, how);
        String id = world.engine.start(request).id();
        assertDone(world, id);
    }

    private void assertDone(World world, String id) throws BlockException {
        MigrationStatus status = world.engine.find(id);
        for (int i = 0; i < LOOKS_MAX && !status.state().over(); i++) {
            status = world.engine.await(id, LOOK);
            defects.check();
        }
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.DONE);
        assertThat(status.verified()).isTrue();
    }
}
