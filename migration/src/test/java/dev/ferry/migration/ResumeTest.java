package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.migration.journal.Resumption;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HexFormat;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What is kept when the process, the system, or a side goes away, and what is not believed. */
@Timeout(180)
class ResumeTest extends EngineRig {
    private static final int SIZE = 6 * World.MIB;
    private static final long SLOW = 1 << 20;

    private byte[] content = {};

    /** A move that is about half done and paused, with nobody writing. */
    private String halfDone() throws Exception {
        content = world.disk("vm1", SIZE, Provisioning.THIN, 41);
        world.openDisk("vm1");
        String id = engine.start(slowly("vm1", "fast", 4 * SLOW)).id();
        await(id, status -> status.doneBytes() > 1_500_000);
        engine.pause(id);
        await(id, status -> status.bytesPerSecond() == 0);
        return id;
    }

    private void reboot() throws Exception {
        world.reboot();
        engine = world.engine;
    }

    private Resumption goOn(String id) throws Exception {
        assertThat(engine.recover()).hasSize(1);
        engine.goOn();
        MigrationStatus status = await(id, now -> now.resumed() != null);
        return Objects.requireNonNull(status.resumed());
    }

    private MigrationStatus finish(String id) throws Exception {
        assertThat(engine.find(id).state()).isEqualTo(MigrationState.PAUSED);
        engine.rate(id, 0);
        engine.resume(id);
        MigrationStatus done = assertDone(id);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        assertThat(world.names("journal")).containsExactlyInAnyOrder("m1.journal", "m1.receipt.json");
        return done;
    }

    @Test
    void afterAKillWhatWasCopiedIsNotCopiedAgain() throws Exception {
        String id = halfDone();
        reboot();
        Resumption found = goOn(id);
        assertThat(found.keptBytes()).isBetween(1_400_000L, SIZE - 1L);
        assertThat(found.againBytes()).isZero();
        assertThat(found.told())
                .startsWith("resumed after a restart of the daemon")
                .contains("MiB of 6 MiB kept");
        long copied = finish(id).disks().getFirst().bytesCopied();
        assertThat(copied).isPositive().isLessThanOrEqualTo(SIZE / 2 - 1_500_000);
    }

    /** Half of the disk's 6 MiB is data, and half of that was copied. */
    @Test
    void afterAKillProgressAndRoomCountWhatWasCopied() throws Exception {
        String id = halfDone();
        reboot();
        assertThat(engine.recover()).hasSize(1);
        assertThat(engine.promisedBytes("fast")).as("before it goes on").isBetween(SIZE / 2L, SIZE * 3L / 4);
        engine.goOn();
        MigrationStatus status = await(id, now -> now.doneBytes() > 0);
        assertThat(status.doneBytes()).isBetween(1_400_000L, SIZE / 2L);
        assertThat(status.totalBytes()).isEqualTo(SIZE / 2);
        assertThat(status.progress()).isGreaterThan(40);
        assertThat(engine.promisedBytes("fast")).isBetween(1L, SIZE / 2L - 1_400_000 + (1 << 20));
        finish(id);
        assertThat(engine.promisedBytes("fast")).isZero();
    }

    @Test
    void whatTheGuestWritesBeforeTheTargetIsThereIsRecorded() throws Exception {
        String id = halfDone();
        reboot();
        assertThat(engine.recover()).hasSize(1);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 5).start();
        guest.goOn(200);
        engine.goOn();
        engine.rate(id, 0);
        engine.resume(id);
        guest.goOn(200);
        assertDone(id);
        guest.goOn(50);
        assertIntact(guest, disk);
    }

    @Test
    void afterALossOfPowerWhatWasFlushedIsKept() throws Exception {
        String id = halfDone();
        Path map = directory.resolve("journal/m1-0.map");
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        Path live = directory.resolve("journal/m1-0.live");
        while (!words(map, 1024).equals(words(live, 4096))) {
            assertThat(System.nanoTime()).isLessThan(deadline);
            engine.await(id, Duration.ofMillis(20));
        }
        world.boot = "boot 2";
        reboot();
        Resumption found = goOn(id);
        assertThat(found.told()).contains("resumed after a restart of the host");
        assertThat(found.keptBytes()).isBetween(500_000L, SIZE - 1L);
        finish(id);
    }

    /** Those of the 96 regions of the disk. */
    private static String words(Path map, int from) throws IOException {
        return HexFormat.of().formatHex(Files.readAllBytes(map), from, from + 16);
    }

    @Test
    void aDaemonThatStopsLeavesItsMovesToTheNext() throws Exception {
        content = world.disk("vm1", SIZE, Provisioning.THIN, 25);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 25).start();
        String id = engine.start(slowly("vm1", "fast", 2 * SLOW)).id();
        await(id, status -> status.doneBytes() > 500_000);
        guest.stop();
        engine.suspend(LONG);
        assertThat(engine.isIdle()).isTrue();
        reboot();
        Resumption found = goOn(id);
        assertThat(found.againBytes()).isZero();
        assertThat(found.keptBytes()).isPositive();
        assertDone(id);
        guest.check(world.path("vm1"));
    }

    @Test
    void aDamagedRecordIsNotBelieved() throws Exception {
        String id = halfDone();
        Path map = directory.resolve("journal/m1-0.map");
        byte[] bytes = Files.readAllBytes(map);
        bytes[20] ^= 1;
        bytes[532] ^= 1;
        Files.write(map, bytes);
        reboot();
        Resumption found = goOn(id);
        assertThat(found.keptBytes()).isZero();
        assertThat(found.told()).contains("the record of what was copied is damaged");
        finish(id);
    }

    @Test
    void aTargetThatIsGoneIsMadeAnew() throws Exception {
        String id = halfDone();
        Files.delete(directory.resolve("fast/.vm1.raw.partial"));
        reboot();
        goOn(id);
        assertThat(finish(id).disks().getFirst().bytesCopied()).isGreaterThan(SIZE / 2 - 200_000);
    }

    @Test
    void aTargetWhoseStoreIsAwayIsWaitedFor() throws Exception {
        String id = halfDone();
        Files.move(directory.resolve("fast"), directory.resolve("away"));
        world.probing = new Probing(50_000_000L, 100_000_000L);
        reboot();
        assertThat(engine.recover()).hasSize(1);
        engine.goOn();
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("away").contains("fast");
        Files.move(directory.resolve("away"), directory.resolve("fast"));
        engine.resume(id);
        engine.rate(id, 0);
        assertDone(id);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    @Test
    void aJournalOfAnotherHostIsLeftAlone() throws Exception {
        String id = halfDone();
        world.host = "another host";
        reboot();
        assertThat(engine.recover().getFirst().error())
                .contains("of another host")
                .contains("no file was touched");
        assertThat(engine.find(id).state()).isEqualTo(MigrationState.FAILED);
        assertThat(world.names("fast")).containsExactly(".vm1.raw.partial");
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    @Test
    void aSourceThatIsAwayIsWaitedFor() throws Exception {
        String id = halfDone();
        Path source = world.path("vm1");
        Path aside = directory.resolve("aside");
        Files.move(source, aside);
        reboot();
        assertThat(engine.recover()).hasSize(1);
        refused(ErrorKind.NOT_FOUND, "vm1.raw", () -> engine.beforeOpen("vm1"));
        engine.goOn();
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("the source is away");
        Files.move(aside, source);
        engine.beforeOpen("vm1");
        engine.resume(id);
        engine.rate(id, 0);
        assertDone(id);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    @Test
    void aParkedMoveGoesOnByItselfAndCopiesOnlyWhatChanged() throws Exception {
        world.probing = new Probing(50_000_000L, 100_000_000L);
        reboot();
        content = world.disk("vm1", SIZE, Provisioning.THIN, 42);
        OpenDisk disk = world.openDisk("vm1");
        String id = engine.start(slowly("vm1", "fast", 4 * SLOW)).id();
        await(id, status -> status.doneBytes() > 2_000_000);
        world.file(".vm1.raw.partial").mood = Mood.FULL;
        await(id, status -> status.state() == MigrationState.PARKED);
        MigrationStatus on = await(id, status -> status.state() == MigrationState.RUNNING);
        assertThat(on.error()).isNull();
        long copied = assertDone(id).disks().getFirst().bytesCopied();
        assertThat(copied).isLessThan(SIZE / 2 + (512 << 10));
        disk.flush();
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }
}
