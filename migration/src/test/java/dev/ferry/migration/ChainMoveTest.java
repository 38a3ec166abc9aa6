package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.migration.journal.Grace;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Disks that are moved with what they lie over, and lie over it at the target. */
class ChainMoveTest extends EngineRig {
    private static final StrategySettings PATIENT = StrategySettings.of(Strategy.TRACKING, DOWNTIME_NANOS);

    private Layers layers;
    private byte[] below = {};

    /** Below is {@code mid.qcow2} over {@code base.raw}. */
    @BeforeEach
    void makeFilesBelow() throws Exception {
        layers = new Layers(world);
        below = layers.raw("base.raw", 71);
        layers.overlay("mid.qcow2", "base.raw", ImageFormat.RAW, below, 72);
    }

    private static MigrationRequest chain(String... disks) {
        return new MigrationRequest(List.of(disks), "fast", null, 0, true, false).withChain();
    }

    private static MigrationRequest slowChain(String disk) {
        return slowly(disk, "fast", SLOW).withChain();
    }

    /** Two seconds at least for a disk that has been filled. */
    private static MigrationRequest slowUnproved(String disk) {
        return new MigrationRequest(List.of(disk), "fast", null, SLOW, false, false).withChain();
    }

    private void reads(Guest guest, OpenDisk disk) throws Exception {
        guest.stop();
        disk.flush();
        guest.check(layers.plain(disk));
    }

    private static List<String> states(MigrationStatus status) {
        return status.bases().stream()
                .map(base -> base.state() + " " + base.source())
                .toList();
    }

    @ParameterizedTest
    @EnumSource(
            value = Strategy.class,
            names = {"MIRROR", "TRACKING"})
    void theDiskLiesOverTheSameAtTheTarget(Strategy strategy) throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 73);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 73).start();
        guest.goOn(50);
        String id = engine.start(chain("vm1").by(strategy == Strategy.MIRROR ? StrategySettings.DEFAULT : PATIENT))
                .id();
        MigrationStatus done = assertDone(id);
        guest.goOn(100);
        reads(guest, disk);
        assertThat(done.verified()).isTrue();
        assertThat(states(done)).containsExactly("copied deleted", "copied deleted");
        assertThat(done.bases()).allMatch(base -> base.digest() != null);
        assertThat(layers.names("vm1")).containsExactly("fast/vm1.qcow2", "fast/mid.qcow2", "fast/base.raw");
        assertThat(world.names("slow")).isEmpty();
        assertThat(world.names("fast")).hasSize(3);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatALayerDoesNotHaveItDoesNotGet(boolean extended) throws Exception {
        layers.options = extended ? Qcow2Options.DEFAULT.withExtendedL2() : Qcow2Options.DEFAULT;
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 74);
        List<String> before = layers.maps("vm1");
        byte[] base = Files.readAllBytes(layers.file("base.raw"));
        byte[] mid = Files.readAllBytes(layers.file("mid.qcow2"));
        assertDone(engine.start(chain("vm1")).id());
        assertThat(layers.maps("vm1")).isEqualTo(before);
        assertThat(Files.readAllBytes(directory.resolve("fast/base.raw"))).isEqualTo(base);
        assertThat(Files.readAllBytes(directory.resolve("fast/mid.qcow2"))).isEqualTo(mid);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    @Test
    void aMoveThatGoesOnDoesNotFlattenEither() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 75);
        layers.fill(world.openDisk("vm1"), content, 0, 2 * World.MIB);
        List<String> before = layers.maps("vm1");
        String id = engine.start(slowUnproved("vm1")).id();
        await(
                id,
                status -> status.phase() == Phase.COPY
                        && status.disks().getFirst().bytesCopied() > 0);
        world.reboot();
        engine = world.engine;
        assertThat(engine.recover()).hasSize(1);
        engine.goOn();
        engine.rate(id, 0);
        MigrationStatus done = assertDone(id);
        assertThat(done.resumed()).isNotNull();
        assertThat(layers.maps("vm1")).isEqualTo(before);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    /** A write that failed at the source has left something of its own at the target, which hides what is below. */
    @Test
    void whatTheTargetGotAndTheSourceDidNotIsTakenBack() throws Exception {
        layers.bare("vm1", "mid.qcow2");
        OpenDisk disk = world.openDisk("vm1");
        FlakyDevice source = world.file("vm1.qcow2 slow");
        layers.fill(disk, below, 2 * World.MIB, 2 * World.MIB);
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", null, SLOW, true, false).withChain();
        String id = engine.start(request).id();
        await(id, status -> status.disks().getFirst().bytesCopied() > 0);
        source.mood = Mood.HOLDS_WRITES;
        IoBuffer bytes = IoBuffer.allocate(64 << 10);
        CompletableFuture<Optional<BlockError>> written = new CompletableFuture<>();
        Loop loop = disk.loop().loop();
        loop.execute(() -> disk.front()
                .write(0, bytes, 0, bytes.capacity(), 0, error -> written.complete(Optional.ofNullable(error))));
        Awaitility.await().atMost(60, TimeUnit.SECONDS).until(() -> source.withoutAnswer() > 0);
        loop.execute(source::refuseChanges);
        assertThat(written.get(60, TimeUnit.SECONDS))
                .get()
                .extracting(BlockError::kind)
                .isEqualTo(ErrorKind.IO);
        source.mood = Mood.WELL;
        engine.rate(id, 0);
        assertDone(id);
        assertThat(engine.receipt(id).disks().getFirst().repairs()).isZero();
        assertThat(Files.readAllBytes(layers.plain(disk))).isEqualTo(below);
    }

    @Test
    void twoMovesAtOnceBringAFileOnce() throws Exception {
        byte[] one = layers.disk("vm1", below, "mid.qcow2", 89);
        byte[] two = layers.disk("vm2", below, "mid.qcow2", 90);
        String first = engine.start(slowChain("vm1")).id();
        await(first, status -> status.doneBytes() > 0);
        String second = engine.start(chain("vm2")).id();
        engine.rate(first, 0);
        assertThat(assertDone(first).bases()).allMatch(base -> base.state().equals("copied"));
        assertThat(assertDone(second).bases()).allMatch(base -> base.state().equals("found"));
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2", "mid.qcow2", "base.raw");
        assertThat(world.names("slow")).isEmpty();
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(one);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm2")))).isEqualTo(two);
    }

    @Test
    void disksThatShareAFileTakeItAlongOnce() throws Exception {
        byte[] one = layers.disk("vm1", below, "mid.qcow2", 76);
        byte[] two = layers.disk("vm2", below, "mid.qcow2", 77);
        MigrationStatus done = assertDone(engine.start(chain("vm1", "vm2")).id());
        assertThat(done.bases()).hasSize(2).allMatch(base -> base.disks().size() == 2);
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2", "mid.qcow2", "base.raw");
        assertThat(world.names("slow")).isEmpty();
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(one);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm2")))).isEqualTo(two);
    }

    @Test
    void oneAfterTheOtherTheyMeetAgainAndTheLastOneDeletesWhatTheyLeave() throws Exception {
        byte[] one = layers.disk("vm1", below, "mid.qcow2", 78);
        byte[] two = layers.disk("vm2", below, "mid.qcow2", 79);
        MigrationStatus first = assertDone(engine.start(chain("vm1")).id());
        assertThat(states(first)).containsExactly("copied kept", "copied kept");
        assertThat(world.names("slow")).containsExactlyInAnyOrder("vm2.qcow2", "mid.qcow2", "base.raw");
        MigrationStatus second = assertDone(engine.start(chain("vm2")).id());
        assertThat(states(second)).containsExactly("found deleted", "found deleted");
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.qcow2", "vm2.qcow2", "mid.qcow2", "base.raw");
        assertThat(world.names("slow")).isEmpty();
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(one);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm2")))).isEqualTo(two);
    }

    @Test
    void aFileThatIsNotTheSameKeepsItsNameAndTheOtherGetsANewOne() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 80);
        Path there = directory.resolve("fast/base.raw");
        byte[] nearly = Files.readAllBytes(layers.file("base.raw"));
        nearly[nearly.length - 1] ^= 1;
        Files.write(there, nearly);
        List<String> before = layers.maps("vm1");
        MigrationStatus done = assertDone(engine.start(chain("vm1")).id());
        assertThat(states(done)).containsExactly("copied deleted", "copied deleted");
        assertThat(layers.names("vm1")).containsExactly("fast/vm1.qcow2", "fast/mid.qcow2", "fast/base-2.raw");
        assertThat(Files.readAllBytes(there)).isEqualTo(nearly);
        assertThat(layers.maps("vm1")).isEqualTo(before);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    @Test
    void aFullTargetParksTheMoveAndItGoesOnWhenThereIsRoom() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 81);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 81).start();
        String id = engine.start(slowChain("vm1")).id();
        await(id, status -> status.doneBytes() > 0);
        world.file(".base.raw.partial").mood = Mood.FULL;
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("no space left on device").contains("make room there and resume");
        guest.goOn(50);
        engine.rate(id, 0);
        engine.resume(id);
        MigrationStatus done = assertDone(id);
        assertThat(states(done)).containsExactly("copied deleted", "copied deleted");
        reads(guest, disk);
        assertThat(world.names("fast")).hasSize(3);
    }

    @Test
    void aTargetThatForgetsWhatItIsGivenIsFoundOut() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 82);
        String id = engine.start(slowChain("vm1")).id();
        await(id, status -> status.doneBytes() > 0);
        world.file(".base.raw.partial").mood = Mood.FORGETFUL;
        engine.rate(id, 0);
        MigrationStatus done = assertDone(id);
        assertThat(done.bases()).allMatch(base -> base.digest() != null);
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    /** Other disks would lie over it too: what differs below is not hidden by this one. */
    @Test
    void aDifferenceBelowIsNotCoveredUp() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 83);
        world.whenWritten = record -> {
            if (record.phase() == Phase.COPY && record.disks().getFirst().rounds() == 0) {
                overwrite(directory.resolve("fast/base.raw"));
            }
        };
        MigrationStatus failed = ended(engine.start(chain("vm1")).id());
        assertThat(failed.state()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("still differ");
        assertThat(world.names("fast")).isEmpty();
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    private static void overwrite(Path path) {
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.write(new byte[Layers.BASE_BYTES]);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void aMoveThatIsCalledOffLeavesNothing() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 84);
        OpenDisk disk = world.openDisk("vm1");
        layers.fill(disk, content, 0, 3 * World.MIB);
        Guest guest = new Guest(disk, content, 84).start();
        String id = engine.start(slowUnproved("vm1")).id();
        await(id, status -> status.doneBytes() > 0);
        assertThat(engine.pause(id).state()).isEqualTo(MigrationState.PAUSED);
        assertThat(engine.cancel(id).state()).isEqualTo(MigrationState.CANCELLED);
        assertThat(world.names("fast")).isEmpty();
        String again = engine.start(slowUnproved("vm1")).id();
        await(again, status -> status.phase() == Phase.COPY);
        assertThat(engine.cancel(again).state()).isEqualTo(MigrationState.CANCELLED);
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).hasSize(3);
        guest.goOn(50);
        reads(guest, disk);
    }

    @Test
    void theWayBackLeadsToTheOldChain() throws Exception {
        byte[] content = layers.disk("vm1", below, "mid.qcow2", 85);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 85).start();
        String id = engine.start(chain("vm1").withGrace(Grace.UNTIL_COMMIT)).id();
        await(id, status -> status.wayBack() != null && status.wayBack().inStep());
        guest.goOn(50);
        assertThat(layers.names("vm1").getLast()).isEqualTo("fast/base.raw");
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        guest.goOn(50);
        reads(guest, disk);
        assertThat(world.names("fast")).isEmpty();
        assertThat(layers.names("vm1")).containsExactly("slow/vm1.qcow2", "slow/mid.qcow2", "slow/base.raw");
    }

    @Test
    void aRehearsalTellsWhichFilesWouldGoAlong() throws Exception {
        layers.disk("vm1", below, "mid.qcow2", 86);
        Files.write(directory.resolve("fast/base.raw"), new byte[1]);
        var report = engine.rehearse(chain("vm1"));
        assertThat(report.go()).as(report.toString()).isTrue();
        assertThat(report.bases()).hasSize(2);
        assertThat(report.bases().getFirst().nameTaken()).isTrue();
        assertThat(report.bases().getFirst().lengthBytes()).isEqualTo(Layers.BASE_BYTES);
        assertThat(report.bases().getLast().targetName()).isEqualTo("mid.qcow2");
        assertThat(world.names("fast")).containsExactly("base.raw");
    }

    @Test
    void refusesWhatCannotLieOverAnything() throws Exception {
        layers.disk("vm1", below, "mid.qcow2", 87);
        for (ImageFormat format : List.of(ImageFormat.RAW, ImageFormat.VMDK, ImageFormat.VHD)) {
            MigrationRequest request = new MigrationRequest(
                            List.of("vm1"),
                            "fast",
                            format,
                            null,
                            0,
                            true,
                            false,
                            0,
                            chain("vm1").pace(),
                            StrategySettings.DEFAULT)
                    .withChain();
            refused(ErrorKind.UNSUPPORTED, "lies over no backing file", () -> engine.start(request));
        }
        refused(
                ErrorKind.UNSUPPORTED,
                "--mode snapshot",
                () -> engine.start(chain("vm1").by(StrategySettings.of(Strategy.SNAPSHOT, DOWNTIME_NANOS))));
        refused(
                ErrorKind.UNSUPPORTED,
                "make it thin",
                () -> engine.start(
                        new MigrationRequest(List.of("vm1"), "fast", Provisioning.EAGER, 0, true, false).withChain()));
        layers.disk("vm2", below, "vm1.qcow2", 88);
        refused(ErrorKind.INVALID, "is a disk itself", () -> engine.start(chain("vm2")));
        assertThat(world.names("fast")).isEmpty();
    }
}
