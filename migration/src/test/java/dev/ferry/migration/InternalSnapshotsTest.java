package dev.ferry.migration;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.migration.journal.Grace;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Disks that are moved with their internal snapshots. */
class InternalSnapshotsTest extends EngineRig {
    private static final StrategySettings PATIENT = StrategySettings.of(Strategy.TRACKING, DOWNTIME_NANOS);

    private Layers layers;
    private Snapshots snapshots;

    @BeforeEach
    void makeTools() throws Exception {
        layers = new Layers(world);
        snapshots = new Snapshots(world);
    }

    private static MigrationRequest along(String... disks) {
        return new MigrationRequest(List.of(disks), "fast", null, 0, true, false).withChain();
    }

    private static MigrationRequest slowly(String disk) {
        return new MigrationRequest(List.of(disk), "fast", null, SLOW, true, false).withChain();
    }

    private Path target(String disk) {
        return directory.resolve("fast/" + disk + ".qcow2");
    }

    private void reads(Guest guest, OpenDisk disk) throws Exception {
        guest.stop();
        disk.flush();
        guest.check(layers.plain(disk));
    }

    /** Closed, so that others can look at it. */
    private void close(OpenDisk disk) throws Exception {
        world.stacks.release(disk);
        assertThat(world.stacks.find(disk.name())).isEmpty();
    }

    @ParameterizedTest
    @CsvSource({
        "MIRROR, 'cluster_size=64k', false",
        "TRACKING, 'cluster_size=64k', false",
        "MIRROR, 'cluster_size=64k', true",
        "TRACKING, 'cluster_size=4k', true",
        "MIRROR, 'cluster_size=512', false",
        "MIRROR, 'cluster_size=2M', false",
        "MIRROR, 'cluster_size=64k,extended_l2=on', false",
        "TRACKING, 'cluster_size=128k,extended_l2=on', true",
        "MIRROR, 'cluster_size=64k,compat=0.10', true"
    })
    void theyGoWithTheDisk(Strategy strategy, String options, boolean chain) throws Exception {
        snapshots.options = options;
        if (chain) {
            byte[] _ = layers.raw("base.raw", 5);
        }
        byte[] content = snapshots.disk("vm1", chain ? "base.raw" : null, 7);
        Snapshots.Held before = snapshots.held("vm1");
        long allocated = Snapshots.allocated(world.path("vm1"));
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 73).start();
        guest.goOn(50);
        String id = engine.start(along("vm1").by(strategy == Strategy.MIRROR ? StrategySettings.DEFAULT : PATIENT))
                .id();
        MigrationStatus done = assertDone(id);
        guest.goOn(100);
        reads(guest, disk);
        assertThat(done.verified()).isTrue();
        assertThat(done.internalSnapshots()).singleElement().satisfies(one -> {
            assertThat(one.count()).isEqualTo(3);
            assertThat(one.state()).isEqualTo("copied");
            assertThat(one.digest()).isNotNull();
            assertThat(one.bytes()).isBetween(1L, allocated);
        });
        assertThat(done.doneBytes()).isGreaterThanOrEqualTo(3 * World.MIB);
        assertThat(world.names("slow")).isEmpty();
        close(disk);
        snapshots.assertHolds(target("vm1"), before);
    }

    /** What the disk has and shares is there once, also where it goes on after a crash in the middle of the copy. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatIsSharedIsThereOnce(boolean interrupted) throws Exception {
        byte[] content = snapshots.disk("vm1", null, 8);
        Snapshots.Held before = snapshots.held("vm1");
        long allocated = Snapshots.allocated(world.path("vm1"));
        if (interrupted) {
            String id = engine.start(slowly("vm1")).id();
            await(id, status -> status.phase() == Phase.COPY);
            world.reboot();
            engine = world.engine;
            assertThat(engine.recover()).hasSize(1);
            engine.goOn();
            engine.rate(id, 0);
            assertThat(assertDone(id).resumed()).isNotNull();
            Snapshots.forgetLeaks(target("vm1"));
        } else {
            assertDone(engine.start(along("vm1")).id());
        }
        assertThat(Snapshots.allocated(target("vm1"))).isLessThanOrEqualTo(allocated + (4 << 16));
        snapshots.assertHolds(target("vm1"), before);
        assertThat(Arrays.mismatch(snapshots.content(target("vm1"), null), content))
                .isEqualTo(-1);
    }

    @Test
    void theyAreReadPastThePageCache() throws Exception {
        byte[] content = snapshots.disk("vm1", null, 25);
        Snapshots.Held before = snapshots.held("vm1");
        world.know(
                new DiskSpec("vm1", world.path("vm1"), Provisioning.THIN, false, true, ImageFormat.QCOW2, Layers.SIZE));
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 26).start();
        assertDone(engine.start(along("vm1")).id());
        assertThat(disk.side().spec().direct()).isTrue();
        guest.goOn(50);
        reads(guest, disk);
        close(disk);
        snapshots.assertHolds(target("vm1"), before);
    }

    @Test
    void allDisksGoTogether() throws Exception {
        byte[] _ = layers.raw("base.raw", 5);
        byte[] one = snapshots.disk("vm1", "base.raw", 9);
        byte[] two = snapshots.disk("vm2", "base.raw", 10);
        byte[] plain = world.disk("vm3", SIZE, Provisioning.THIN, 11);
        Snapshots.Held first = snapshots.held("vm1");
        Snapshots.Held second = snapshots.held("vm2");
        MigrationStatus done =
                assertDone(engine.start(along("vm1", "vm2", "vm3")).id());
        assertThat(done.internalSnapshots()).extracting(SnapshotStatus::disk).containsExactly("vm1", "vm2");
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2", "vm3.raw", "base.raw");
        assertThat(world.names("slow")).isEmpty();
        snapshots.assertHolds(target("vm1"), first);
        snapshots.assertHolds(target("vm2"), second);
        assertThat(Arrays.mismatch(snapshots.content(target("vm1"), null), one)).isEqualTo(-1);
        assertThat(Arrays.mismatch(snapshots.content(target("vm2"), null), two)).isEqualTo(-1);
        assertThat(Arrays.mismatch(Files.readAllBytes(world.path("vm3")), plain))
                .isEqualTo(-1);
    }

    // ---- said, and refused

    @Test
    void nobodyLosesThemUnsaid() throws Exception {
        byte[] content = snapshots.disk("vm1", null, 12);
        MigrationRequest plain = MigrationRequest.of("vm1", "fast");
        refused(ErrorKind.INVALID, "3 internal snapshots (vm1-1, vm1-2, vm1-3)", () -> engine.start(plain));
        refused(ErrorKind.INVALID, "--drop-snapshots", () -> engine.start(plain.withGrace(1000)));
        var report = engine.rehearse(plain);
        assertThat(report.go()).isFalse();
        assertThat(report.findings().toString()).contains("--with-snapshots");
        Snapshots.Held before = snapshots.held("vm1");
        MigrationRequest keeping = new MigrationRequest(List.of("vm1"), "fast", null, 0, true, true);
        assertDone(engine.start(keeping).id());
        snapshots.assertHolds(directory.resolve("slow/vm1.qcow2"), before);
        assertThat(Snapshots.list(target("vm1"))).isEmpty();
        assertThat(Arrays.mismatch(snapshots.content(target("vm1"), null), content))
                .isEqualTo(-1);
    }

    @Test
    void whoGivesThemUpSaysSo() throws Exception {
        byte[] content = snapshots.disk("vm1", null, 13);
        MigrationStatus done =
                assertDone(engine.start(MigrationRequest.of("vm1", "fast").withoutSnapshots())
                        .id());
        assertThat(done.internalSnapshots()).isEmpty();
        assertThat(world.names("slow")).isEmpty();
        assertThat(Snapshots.list(target("vm1"))).isEmpty();
        assertThat(Arrays.mismatch(snapshots.content(target("vm1"), null), content))
                .isEqualTo(-1);
    }

    @Test
    void refusesWhatCannotHoldThem() throws Exception {
        byte[] _ = snapshots.disk("vm1", null, 14);
        for (ImageFormat format : List.of(ImageFormat.RAW, ImageFormat.VMDK, ImageFormat.VHD, ImageFormat.VHDX)) {
            MigrationRequest request = new MigrationRequest(
                            List.of("vm1"),
                            "fast",
                            format,
                            null,
                            0,
                            true,
                            false,
                            0,
                            along("vm1").pace(),
                            StrategySettings.DEFAULT)
                    .withChain();
            refused(ErrorKind.UNSUPPORTED, "holds none", () -> engine.start(request));
        }
        refused(
                ErrorKind.UNSUPPORTED,
                "--mode snapshot does not take them along",
                () -> engine.start(along("vm1").by(StrategySettings.of(Strategy.SNAPSHOT, DOWNTIME_NANOS))));
        refused(
                ErrorKind.UNSUPPORTED,
                "make it thin",
                () -> engine.start(
                        new MigrationRequest(List.of("vm1"), "fast", Provisioning.EAGER, 0, true, false).withChain()));
        assertThat(world.names("fast")).isEmpty();
    }

    @Test
    void aRehearsalTellsWhatWouldGoAlong() throws Exception {
        byte[] _ = snapshots.disk("vm1", null, 15);
        OpenDisk disk = world.openDisk("vm1");
        var report = engine.rehearse(along("vm1"));
        assertThat(report.go()).as(report.toString()).isTrue();
        RehearsalReport.Disk told = report.disks().getFirst();
        RehearsalReport.Snapshots taken = Objects.requireNonNull(told.snapshots());
        assertThat(taken.names()).containsExactly("vm1-1", "vm1-2", "vm1-3");
        assertThat(taken.bytes()).isGreaterThan(3 * World.MIB);
        assertThat(told.dataBytes()).isLessThan(World.MIB);
        assertThat(Objects.requireNonNull(report.room()).neededBytes())
                .isEqualTo(taken.bytes() + Objects.requireNonNull(told.dataBytes()));
        assertThat(world.names("fast")).isEmpty();
        close(disk);
    }

    // ---- what fails

    @Test
    void aFullTargetParksTheMoveAndItGoesOnWhenThereIsRoom() throws Exception {
        byte[] content = snapshots.disk("vm1", null, 16);
        Snapshots.Held before = snapshots.held("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 81).start();
        String id = engine.start(slowly("vm1")).id();
        await(id, status -> status.phase() == Phase.CREATE && status.doneBytes() > 0);
        world.file(".vm1.qcow2.partial").mood = Mood.FULL;
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("no space left on device").contains("make room there and resume");
        guest.goOn(50);
        engine.rate(id, 0);
        engine.resume(id);
        assertDone(id);
        reads(guest, disk);
        close(disk);
        snapshots.assertHolds(target("vm1"), before);
    }

    @Test
    void aTargetThatForgetsWhatItIsGivenIsFoundOut() throws Exception {
        byte[] _ = snapshots.disk("vm1", null, 17);
        Snapshots.Held before = snapshots.held("vm1");
        String id = engine.start(slowly("vm1")).id();
        await(id, status -> status.phase() == Phase.CREATE && status.doneBytes() > 0);
        world.file(".vm1.qcow2.partial").mood = Mood.FORGETFUL;
        engine.rate(id, 0);
        assertDone(id);
        snapshots.assertHolds(target("vm1"), before);
    }

    @Test
    void aSourceThatCannotBeReadFailsTheMoveAndLeavesNothing() throws Exception {
        byte[] _ = snapshots.disk("vm1", null, 18);
        OpenDisk disk = world.openDisk("vm1");
        FlakyDevice source = world.file("vm1.qcow2 slow");
        String id = engine.start(slowly("vm1")).id();
        await(id, status -> status.phase() == Phase.CREATE && status.doneBytes() > 0);
        source.mood = Mood.NO_READS;
        MigrationStatus failed = ended(id);
        assertThat(failed.state()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("input/output error");
        source.mood = Mood.WELL;
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).containsExactly("vm1.qcow2");
        close(disk);
    }

    /** The disk is not repaired where its snapshots have been spoilt with it. */
    @Test
    void aDifferenceInWhatIsSharedIsNotCoveredUp() throws Exception {
        byte[] content = snapshots.disk("vm1", null, 19);
        world.whenWritten = record -> {
            if (record.phase() == Phase.COPY && record.disks().getFirst().rounds() == 0) {
                overwrite(directory.resolve("fast/.vm1.qcow2.partial"));
            }
        };
        MigrationStatus failed = ended(engine.start(along("vm1")).id());
        assertThat(failed.state()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("still differ");
        assertThat(world.names("fast")).isEmpty();
        assertThat(Arrays.mismatch(snapshots.content(world.path("vm1"), null), content))
                .isEqualTo(-1);
    }

    /** In the middle of what the first snapshot has. */
    private static void overwrite(Path path) {
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.seek(World.MIB);
            file.write(new byte[256 << 10]);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Phase.class,
            names = {"CREATE", "COPY"})
    void aMoveThatIsCalledOffLeavesNothing(Phase phase) throws Exception {
        byte[] content = snapshots.disk("vm1", null, 20);
        Snapshots.Held before = snapshots.held("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 84).start();
        String id = engine.start(slowly("vm1")).id();
        if (phase == Phase.CREATE) {
            await(id, status -> status.doneBytes() > 0);
            assertThat(engine.pause(id).state()).isEqualTo(MigrationState.PAUSED);
        } else {
            await(id, status -> status.phase() == Phase.COPY);
        }
        assertThat(disk.side().belowBytes()).isEqualTo(Layers.SIZE);
        assertThat(engine.cancel(id).state()).isEqualTo(MigrationState.CANCELLED);
        assertThat(disk.side().belowBytes()).isZero();
        assertThat(world.names("fast")).isEmpty();
        guest.goOn(50);
        reads(guest, disk);
        close(disk);
        snapshots.assertHolds(directory.resolve("slow/vm1.qcow2"), before);
    }

    /** The file that they are in is the same one, under its own name by now. */
    @Test
    void whatIsThereWholeIsNotCopiedAgain() throws Exception {
        byte[] content = snapshots.disk("vm1", null, 23);
        byte[] _ = snapshots.disk("vm2", null, 24);
        Snapshots.Held before = snapshots.held("vm1");
        MigrationRequest both =
                new MigrationRequest(List.of("vm1", "vm2"), "fast", null, SLOW, true, false).withChain();
        String id = engine.start(both).id();
        await(
                id,
                status -> status.internalSnapshots().getFirst().state().equals("copied")
                        && status.internalSnapshots().getLast().state().equals("copying"));
        Path partial = directory.resolve("fast/.vm1.qcow2.partial");
        String identity = DiskFiles.identityOf(partial);
        world.reboot();
        engine = world.engine;
        assertThat(engine.recover()).hasSize(1);
        engine.goOn();
        engine.rate(id, 0);
        assertDone(id);
        assertThat(DiskFiles.identityOf(target("vm1"))).isEqualTo(identity);
        Snapshots.forgetLeaks(target("vm1"));
        snapshots.assertHolds(target("vm1"), before);
        assertThat(Arrays.mismatch(snapshots.content(target("vm1"), null), content))
                .isEqualTo(-1);
    }

    /** Its snapshots would have to be brought again below a disk that is at work: it begins anew. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aTargetThatIsGoneOrAnotherEndsTheMove(boolean gone) throws Exception {
        byte[] content = snapshots.disk("vm1", null, 21);
        Snapshots.Held before = snapshots.held("vm1");
        String id = engine.start(slowly("vm1")).id();
        await(id, status -> status.phase() == Phase.COPY);
        world.reboot();
        engine = world.engine;
        Path partial = directory.resolve("fast/.vm1.qcow2.partial");
        if (gone) {
            Files.delete(partial);
        } else {
            succeeds("qemu-img", "snapshot", "-d", "vm1-2", partial);
        }
        assertThat(engine.recover()).hasSize(1);
        engine.goOn();
        MigrationStatus failed = ended(id);
        assertThat(failed.state()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error())
                .contains("with the snapshots that were there")
                .contains("move it anew");
        assertThat(world.names("fast")).isEmpty();
        snapshots.assertHolds(world.path("vm1"), before);
        assertThat(Arrays.mismatch(snapshots.content(world.path("vm1"), null), content))
                .isEqualTo(-1);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void theWayBackLeadsToTheOldSnapshots(boolean restarted) throws Exception {
        byte[] content = snapshots.disk("vm1", null, 22);
        Snapshots.Held before = snapshots.held("vm1");
        long allocated = Snapshots.allocated(world.path("vm1"));
        OpenDisk disk = world.openDisk("vm1");
        String id = engine.start(along("vm1").withGrace(Grace.UNTIL_COMMIT)).id();
        await(id, status -> status.wayBack() != null && status.wayBack().inStep());
        if (restarted) {
            world.reboot();
            engine = world.engine;
            assertThat(engine.recover()).hasSize(1);
            engine.goOn();
            disk = world.openDisk("vm1");
        }
        Guest guest = new Guest(disk, content, 85).onlyWriting().start();
        guest.goOn(50);
        await(id, status -> status.wayBack() != null && status.wayBack().inStep());
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        guest.goOn(50);
        reads(guest, disk);
        close(disk);
        assertThat(world.names("fast")).isEmpty();
        snapshots.assertHolds(directory.resolve("slow/vm1.qcow2"), before);
        assertThat(Snapshots.allocated(directory.resolve("slow/vm1.qcow2")))
                .isLessThanOrEqualTo(allocated + Layers.SIZE + (8 << 16));
    }
}
