package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.Authority;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Moves on real files and loops, with a guest at work that knows what its disk must hold. */
class MigrationEngineTest extends EngineRig {
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void movesADiskInUse(boolean direct) throws Exception {
        world.direct = direct;
        int size = direct ? SIZE : SIZE + 12_345;
        byte[] content = world.disk("vm1", size, Provisioning.THIN, 1);
        Path source = world.path("vm1");
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 11).start();
        guest.goOn(200);
        String id = engine.start(slowly("vm1", "fast", 8 * SLOW)).id();
        guest.goOn(200);
        MigrationStatus done = ended(id);
        guest.goOn(200);
        guest.stop();

        assertThat(done.state()).as(done.toString()).isEqualTo(MigrationState.DONE);
        assertThat(done.error()).isNull();
        assertThat(done.phase()).isEqualTo(Phase.END);
        assertThat(done.progress()).isEqualTo(100);
        assertThat(done.verified()).isTrue();
        assertThat(done.mover()).isIn("native", "portable");
        MigrationStatus.DiskStatus figures = done.disks().getFirst();
        assertThat(figures.sourceDigest()).hasSize(64).isEqualTo(figures.targetDigest());
        assertThat(figures.switchoverPauseMillis()).isNotNull().isPositive();
        assertThat(figures.bytesCopied()).isPositive();
        assertThat(figures.bytesMirrored()).isPositive();
        assertThat(source).doesNotExist();
        assertThat(world.names("slow")).isEmpty();
        assertThat(world.names("fast")).containsExactly("vm1.raw");
        assertThat(world.path("vm1"))
                .isEqualTo(directory.resolve("fast/vm1.raw").toRealPath());
        assertThat(disk.path()).isEqualTo(world.path("vm1"));
        disk.flush();
        guest.check(world.path("vm1"));
        assertThat(engine.moving("vm1")).isFalse();
    }

    @Test
    void movesOnToAThirdPlaceAndBack() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 2);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 12).start();
        for (String datastore : List.of("fast", "third", "slow")) {
            assertDone(engine.start(MigrationRequest.of("vm1", datastore)).id());
            guest.goOn(50);
        }
        assertIntact(guest, disk);
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("third")).isEmpty();
        assertThat(engine.list()).extracting(MigrationStatus::id).containsExactly("m1", "m2", "m3");
    }

    @Test
    void errorsAfterTheSwitchNameTheFileAsItIsCalledThen() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 32);
        OpenDisk disk = world.openDisk("vm1");
        assertDone(engine.start(MigrationRequest.of("vm1", "fast")).id());
        Path file = world.path("vm1");
        try (RandomAccessFile cut = new RandomAccessFile(file.toFile(), "rw")) {
            cut.setLength(0);
        }
        assertThatThrownBy(() -> OnLoop.await(
                        disk.loop().loop(), done -> disk.front().read(0, IoBuffer.allocate(4096), 0, 4096, done)))
                .isInstanceOf(BlockException.class)
                .hasMessageContaining("on " + file + " failed");
    }

    @Test
    void movesADiskThatNobodyHasOpen() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 3);
        assertDone(engine.start(MigrationRequest.of("vm1", "fast")).id());
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        assertThat(world.stacks.open()).isEmpty();
    }

    @Test
    void keepsTheSourceIfAskedTo() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 4);
        Path source = world.path("vm1");
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", null, 0, false, true);
        MigrationStatus done = assertDone(engine.start(request).id());
        assertThat(done.verified()).isFalse();
        assertThat(Files.readAllBytes(source)).isEqualTo(content);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    @Test
    void thinStaysThinAndDiscardsCount() throws Exception {
        int size = 64 * World.MIB;
        world.disk("vm1", 4 * World.MIB, Provisioning.THIN, 5);
        try (RandomAccessFile file = new RandomAccessFile(world.path("vm1").toFile(), "rw")) {
            file.setLength(size);
        }
        OpenDisk disk = world.openDisk("vm1");
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 300_000);
        OnLoop.await(disk.loop().loop(), done -> disk.front().discard(0, 1 << 20, 0, done));
        engine.rate(id, 0);
        long source = Stacks.allocatedBytes(world.path("vm1"));
        assertDone(id);
        long target = Stacks.allocatedBytes(world.path("vm1"));
        assertThat(target).isBetween(1L, source + (128 << 10));
        assertThat(target).isLessThan((3 << 19) + (64 << 10));
    }

    @ParameterizedTest
    @EnumSource(
            value = Provisioning.class,
            names = {"LAZY", "EAGER"})
    void thinBecomesThick(Provisioning provisioning) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 6);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 13).start();
        assertDone(engine.start(new MigrationRequest(List.of("vm1"), "fast", provisioning, 0, true, false))
                .id());
        guest.goOn(300);
        assertIntact(guest, disk);
        assertThat(Stacks.allocatedBytes(world.path("vm1"))).isGreaterThanOrEqualTo(SIZE);
    }

    /** Disks on loops of their own: one record decides for all of them, and none is switched without the others. */
    @Test
    void aGroupIsSwitchedByOneDecision() throws Exception {
        world.threads = 2;
        world.reboot();
        engine = world.engine;
        List<String> names = List.of("vm1", "vm2", "vm3", "vm4");
        List<Guest> guests = new ArrayList<>();
        for (String name : names) {
            byte[] content = world.disk(name, SIZE / 3, Provisioning.THIN, names.indexOf(name));
            guests.add(new Guest(world.openDisk(name), content, 7 + names.indexOf(name)).start());
        }
        List<Long> switched = new CopyOnWriteArrayList<>();
        world.whenWritten = record -> switched.add(record.disks().stream()
                .filter(disk -> disk.authority() == Authority.TARGET)
                .count());
        MigrationStatus done = assertDone(engine.start(new MigrationRequest(names, "fast", null, 0, true, false))
                .id());
        assertThat(switched).containsOnly(0L, 4L);
        assertThat(done.disks()).allMatch(disk -> disk.switchoverPauseMillis() != null);
        System.out.println("pauses of four disks: "
                + done.disks().stream().map(d -> d.switchoverPauseMillis()).toList() + " ms");
        for (Guest guest : guests) {
            guest.goOn(20);
            guest.stop();
        }
        for (String name : names) {
            world.openDisk(name).flush();
            guests.get(names.indexOf(name)).check(world.path(name));
        }
    }

    @Test
    void movesSeveralAtOnceAndSeveralInOne() throws Exception {
        for (int i = 1; i <= 4; i++) {
            world.disk("vm" + i, SIZE, Provisioning.THIN, 20 + i);
        }
        String first = engine.start(slowly("vm1", "fast", 8 * SLOW)).id();
        String second = engine.start(slowly("vm2", "third", 8 * SLOW)).id();
        MigrationRequest both = new MigrationRequest(List.of("vm3", "vm4"), "fast", null, 0, true, false);
        MigrationStatus two = assertDone(engine.start(both).id());
        assertThat(two.disks()).allMatch(MigrationStatus.DiskStatus::switched);
        assertDone(first);
        assertDone(second);
        assertThat(world.names("fast")).containsExactlyInAnyOrder("vm1.raw", "vm3.raw", "vm4.raw");
        assertThat(world.names("slow")).isEmpty();
    }

    @Test
    void refusesWhatCannotBeMoved() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 13);
        refused(ErrorKind.NOT_FOUND, "vm9", () -> engine.start(MigrationRequest.of("vm9", "fast")));
        refused(ErrorKind.NOT_FOUND, "nowhere", () -> engine.start(MigrationRequest.of("vm1", "nowhere")));
        refused(ErrorKind.INVALID, "already", () -> engine.start(MigrationRequest.of("vm1", "slow")));
        refused(
                ErrorKind.INVALID,
                "twice",
                () -> engine.start(new MigrationRequest(List.of("vm1", "vm1"), "fast", null, 0, true, false)));
        refused(
                ErrorKind.INVALID,
                "no disk",
                () -> engine.start(new MigrationRequest(List.of(), "fast", null, 0, true, false)));
        refused(ErrorKind.NOT_FOUND, "m7", () -> engine.find("m7"));
        refused(ErrorKind.NOT_FOUND, "m7", () -> engine.cancel("m7"));
        Files.writeString(directory.resolve("fast/vm1.raw"), "precious");
        refused(ErrorKind.BUSY, "exists already", () -> engine.start(MigrationRequest.of("vm1", "fast")));
        assertThat(engine.list()).isEmpty();
        assertThat(world.names("journal")).isEmpty();
        assertThat(directory.resolve("fast/vm1.raw")).hasContent("precious");
    }

    @Test
    void refusesADiskThatIsMoving() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 14);
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        assertThat(engine.moving("vm1")).isTrue();
        refused(ErrorKind.BUSY, "by migration m1", () -> engine.start(MigrationRequest.of("vm1", "third")));
        engine.cancel(id);
        assertThat(engine.moving("vm1")).isFalse();
        assertDone(engine.start(MigrationRequest.of("vm1", "third")).id());
    }

    @Test
    void refusesATargetWithoutRoomAndCountsWhatOthersWillTake() throws Exception {
        world.disk("vm1", World.MIB, Provisioning.THIN, 15);
        try (RandomAccessFile file = new RandomAccessFile(world.path("vm1").toFile(), "rw")) {
            file.setLength(world.datastore("fast").space().freeBytes() + (1L << 30));
        }
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", Provisioning.LAZY, 0, true, false);
        refused(ErrorKind.NO_SPACE, "are free", () -> engine.start(request));
        assertThat(world.names("fast")).isEmpty();
    }
}
