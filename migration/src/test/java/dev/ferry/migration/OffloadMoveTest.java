package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.Provisioning;
import dev.ferry.migration.MigrationStatus.DiskStatus;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import dev.ferry.testkit.LoopMount;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Moves within file systems that share blocks, with a guest at work. */
@Timeout(240)
class OffloadMoveTest {
    private static final int SIZE = 24 * World.MIB;
    private static final long STORE_BYTES = 400L * World.MIB;
    private static final Duration LONG = Duration.ofSeconds(100);

    @TempDir
    Path folder;

    private static MigrationStatus done(World world, String id) throws Exception {
        MigrationStatus status = world.engine.await(id, LONG);
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.DONE);
        assertThat(status.verified()).isTrue();
        return status;
    }

    private static MigrationStatus awaitCopying(World world, String id) throws Exception {
        MigrationStatus status = world.engine.find(id);
        for (long end = System.nanoTime() + LONG.toNanos(); status.doneBytes() == 0; ) {
            assertThat(System.nanoTime()).as(status.toString()).isLessThan(end);
            status = world.engine.await(id, Duration.ofMillis(5));
        }
        return status;
    }

    private interface Story {
        void on(World world) throws Exception;
    }

    private void in(String kind, boolean direct, Story story) throws Exception {
        try (LoopMount mount = LoopMount.of(folder, kind, STORE_BYTES);
                World world = new World(mount.path())) {
            world.direct = direct;
            story.on(world);
        }
    }

    @ParameterizedTest
    @CsvSource({"xfs, false", "xfs, true", "btrfs, false", "btrfs, true"})
    void theStoreCopiesWhileTheGuestWrites(String kind, boolean direct) throws Exception {
        in(kind, direct, world -> {
            byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 1);
            OpenDisk disk = world.openDisk("vm1");
            Guest guest = new Guest(disk, content, 11).start();
            guest.goOn(100);
            String id = world.engine
                    .start(EngineRig.slowly("vm1", "fast", 12L * World.MIB))
                    .id();
            awaitCopying(world, id);
            guest.goOn(200);
            MigrationStatus status = done(world, id);
            guest.goOn(100);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
            DiskStatus figures = status.disks().getFirst();
            assertThat(status.mover()).isEqualTo("offload");
            assertThat(figures.mover()).isEqualTo("offload");
            assertThat(figures.offloadRefusal()).isNull();
            assertThat(figures.bytesCopied()).isPositive();
            assertThat(figures.bytesMirrored()).isPositive();
            assertThat(figures.sourceDigest()).isEqualTo(figures.targetDigest());
            assertThat(world.engine.receipt(id).disks().getFirst().mover()).isEqualTo("offload");
        });
    }

    @Test
    void aDiskThatNobodyHasOpenSharesItsBlocksAndKeepsItsHoles() throws Exception {
        in("xfs", false, world -> {
            byte[] content = world.disk("vm1", SIZE + 12_345, Provisioning.THIN, 2);
            long allocated = Stacks.allocatedBytes(world.path("vm1"));
            MigrationStatus status = done(
                    world,
                    world.engine.start(MigrationRequest.of("vm1", "fast")).id());
            assertThat(status.mover()).isEqualTo("offload");
            assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
            assertThat(Stacks.allocatedBytes(world.path("vm1"))).isLessThanOrEqualTo(allocated + 65_536);
        });
    }

    @Test
    void aStoreThatRefusesInTheMiddleIsHelpedOut() throws Exception {
        in("xfs", false, world -> {
            byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 3);
            OpenDisk disk = world.openDisk("vm1");
            Guest guest = new Guest(disk, content, 13).start();
            String id = world.engine
                    .start(EngineRig.slowly("vm1", "fast", 8L * World.MIB))
                    .id();
            awaitCopying(world, id);
            world.file(".vm1.raw.partial").mood = FlakyDevice.Mood.NO_OFFLOAD;
            MigrationStatus status = done(world, id);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
            DiskStatus figures = status.disks().getFirst();
            assertThat(figures.mover()).startsWith("offload, then ");
            assertThat(figures.offloadRefusal()).contains("copy of ");
        });
    }

    @Test
    void aMoveThatWasCutOffGoesOnByTheStore() throws Exception {
        in("btrfs", false, world -> {
            byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 4);
            String id = world.engine
                    .start(EngineRig.slowly("vm1", "fast", 4L * World.MIB))
                    .id();
            awaitCopying(world, id);
            world.reboot();
            world.engine.recover();
            world.engine.goOn();
            world.engine.rate(id, 0);
            assertThat(done(world, id).mover()).isEqualTo("offload");
            assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        });
    }

    /** Shared blocks would have to be found anew when they are written to. */
    @ParameterizedTest
    @CsvSource({"LAZY, LAZY", "LAZY, THIN", "THIN, LAZY", "EAGER, THIN"})
    void aDiskThatHasItsRoomReservedIsNotShared(Provisioning from, Provisioning to) throws Exception {
        in("xfs", false, world -> {
            byte[] content = world.disk("vm1", SIZE, from, 5);
            MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", to, 0, true, false);
            MigrationStatus status = done(world, world.engine.start(request).id());
            assertThat(status.mover()).isIn("native", "portable");
            assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        });
    }

    @ParameterizedTest
    @CsvSource({"xfs, offload", "btrfs, offload", "ext4, native"})
    void aRehearsalSaysWhichMoverWillRun(String kind, String mover) throws Exception {
        in(kind, false, world -> {
            world.disk("vm1", SIZE, Provisioning.THIN, 6);
            RehearsalReport closed = world.engine.rehearse(MigrationRequest.of("vm1", "fast"));
            OpenDisk disk = world.openDisk("vm1");
            RehearsalReport open = world.engine.rehearse(MigrationRequest.of("vm1", "fast"));
            for (RehearsalReport report : List.of(open, closed)) {
                assertThat(report.go()).as(report.toString()).isTrue();
                String expected = mover.equals("native") ? nativeHere(world) : mover;
                assertThat(report.disks().getFirst().mover()).isEqualTo(expected);
            }
            world.stacks.release(disk);
            assertThat(world.names("fast")).isEmpty();
        });
    }

    private static String nativeHere(World world) {
        return world.stacks.loopKind().equals("io_uring") ? "native" : "portable";
    }
}
