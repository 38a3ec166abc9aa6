package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import dev.ferry.testkit.Requires;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Moves on real files and loops, with a guest at work that knows what its disk must hold. */
@Timeout(60)
class MigrationEngineTest {
    private static final int SIZE = 6 * World.MIB;
    private static final long SLOW = 1 << 20;
    private static final Duration LONG = Duration.ofSeconds(30);

    @TempDir
    Path directory;

    private World world;
    private MigrationEngine engine;

    @BeforeEach
    void boot() throws Exception {
        world = new World(directory);
        engine = world.engine;
    }

    @AfterEach
    void shutDown() {
        world.close();
    }

    // ---- the main job

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
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
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
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
        assertThat(Stacks.allocatedBytes(world.path("vm1"))).isGreaterThanOrEqualTo(SIZE);
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

    // ---- steering

    @Test
    void pausesGoesOnAndChangesItsRate() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 7);
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        assertThat(engine.pause(id).state()).isEqualTo(MigrationState.PAUSED);
        long settled = await(id, status -> status.bytesPerSecond() == 0).doneBytes();
        assertThat(engine.rate(id, 0).rateBytesPerSecond()).isZero();
        MigrationStatus still = engine.await(id, Duration.ofMillis(500));
        assertThat(still.doneBytes()).isBetween(settled, settled + (1 << 20));
        assertThat(still.state()).isEqualTo(MigrationState.PAUSED);
        engine.resume(id);
        assertDone(id);
    }

    @Test
    void pausesWhileItCompares() throws Exception {
        int size = 64 * World.MIB;
        byte[] content = world.disk("vm1", size, Provisioning.THIN, 24);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 24).start();
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        await(id, status -> status.phase() == Phase.VERIFY);
        engine.pause(id);
        guest.goOn(100);
        assertThat(engine.find(id).state()).isEqualTo(MigrationState.PAUSED);
        assertThat(engine.find(id).phase()).isEqualTo(Phase.VERIFY);
        engine.resume(id);
        engine.pause(id);
        engine.resume(id);
        assertDone(id);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    @Test
    void aDaemonThatStopsUndoesWhatIsNotDecided() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 25);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 25).start();
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        engine.shutDown(LONG);
        MigrationStatus stopped = engine.find(id);
        assertThat(stopped.state()).isEqualTo(MigrationState.FAILED);
        assertThat(stopped.error()).contains("the daemon was stopped");
        assertThat(world.names("fast")).isEmpty();
        guest.goOn(20);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    @Test
    void theRateIsThatOfTheWholeMove() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 26);
        world.disk("vm2", World.MIB, Provisioning.THIN, 27);
        MigrationRequest both = new MigrationRequest(List.of("vm1", "vm2"), "fast", null, 4 * SLOW, false, false);
        MigrationStatus done = assertDone(engine.start(both).id());
        assertThat(done.seconds()).isBetween(0.5, 3.0);
    }

    @Test
    void progressNeverGoesBack() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 8);
        Guest guest = new Guest(world.openDisk("vm1"), content, 14).start();
        String id = engine.start(slowly("vm1", "fast", 4 * SLOW)).id();
        double before = 0;
        MigrationStatus status = engine.find(id);
        while (!status.state().over()) {
            assertThat(status.progress()).isBetween(before, 100.0);
            before = status.progress();
            status = engine.await(id, Duration.ofMillis(20));
        }
        assertThat(status.progress()).isEqualTo(100);
        guest.stop();
    }

    @Test
    void cancelsWhileCopying() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 9);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 15).start();
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        assertCancelled(engine.cancel(id), guest, disk);
        refused(ErrorKind.INVALID, "it is cancelled", () -> engine.cancel(id));
        refused(ErrorKind.INVALID, "it is cancelled", () -> engine.pause(id));
    }

    @Test
    void cancelsWhilePaused() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 10);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 16).start();
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        engine.pause(id);
        guest.goOn(50);
        assertCancelled(engine.cancel(id), guest, disk);
    }

    @Test
    void cancelsWhileTheTargetIsMade() throws Exception {
        world.disk("vm1", World.MIB, Provisioning.THIN, 11);
        try (RandomAccessFile file = new RandomAccessFile(world.path("vm1").toFile(), "rw")) {
            file.setLength(8L << 30);
        }
        MigrationRequest request = new MigrationRequest(List.of("vm1"), "fast", Provisioning.EAGER, 0, true, false);
        String id = engine.start(request).id();
        await(id, status -> status.phase() == Phase.CREATE);
        assertThat(engine.cancel(id).state()).isEqualTo(MigrationState.CANCELLED);
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.path("vm1")).exists();
    }

    @ParameterizedTest
    @EnumSource(
            value = Phase.class,
            names = {"CREATE", "COPY", "VERIFY", "SWITCH", "COMMIT"})
    void aCancelInAnyPhaseEndsWithOneDisk(Phase phase) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 28);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 28).start();
        CompletableFuture<String> answer = new CompletableFuture<>();
        world.whenWritten = record -> {
            if (record.phase() == phase && !answer.isDone()) {
                world.whenWritten = later -> {};
                Thread.ofVirtual().start(() -> cancelled("m1", answer));
            }
        };
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus end = ended(id);
        String said = answer.get(20, TimeUnit.SECONDS);
        if (end.state() == MigrationState.CANCELLED) {
            assertThat(phase).isNotEqualTo(Phase.COMMIT);
            assertCancelled(end, guest, disk);
        } else {
            assertThat(phase).isIn(Phase.SWITCH, Phase.COMMIT);
            assertThat(said).startsWith("move on migration m1 failed");
            assertThat(end.state()).isEqualTo(MigrationState.DONE);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
            assertThat(world.names("slow")).isEmpty();
        }
    }

    private void cancelled(String id, CompletableFuture<String> answer) {
        try {
            answer.complete(engine.cancel(id).state().text());
        } catch (BlockException e) {
            answer.complete(String.valueOf(e.getMessage()));
        }
    }

    @Test
    void cannotBeCancelledOnceItIsDone() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 12);
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        assertDone(id);
        refused(ErrorKind.INVALID, "it is done", () -> engine.cancel(id));
        refused(ErrorKind.INVALID, "nothing to commit", () -> engine.commit(id));
        refused(ErrorKind.UNSUPPORTED, "no way back", () -> engine.rollback(id));
    }

    // ---- bad input

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
        MigrationPlan plan = engine.rehearse(MigrationRequest.of("vm1", "fast"));
        assertThat(plan.neededBytes()).isBetween(1L, 2L * World.MIB);
    }

    // ---- faults

    @Test
    void aFullTargetParksTheMoveAndResumeCopiesTheRest() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 16);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 17).start();
        String id = engine.start(slowly("vm1", "fast", 2 * SLOW)).id();
        await(id, status -> status.doneBytes() > 500_000);
        world.file(".vm1.raw.partial").mood = Mood.FULL;
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("no space left").doesNotContain("\n");
        guest.goOn(300);
        world.file(".vm1.raw.partial").mood = Mood.WELL;
        engine.rate(id, 0);
        assertThat(engine.resume(id).error()).isNull();
        assertDone(id);
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    @Test
    void aFileSystemThatFillsUpParksTheMoveUntilThereIsRoom() throws Exception {
        Path small = Files.createDirectory(directory.resolve("small"));
        Requires.program("mount");
        Requires.that(run("mount", "-t", "tmpfs", "-o", "size=8m", "ferry-test", small.toString()), "root, to mount");
        try {
            world.add("small", small);
            byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 29);
            OpenDisk disk = world.openDisk("vm1");
            Guest guest = new Guest(disk, content, 29).start();
            String id = engine.start(slowly("vm1", "small", SLOW)).id();
            await(id, status -> status.doneBytes() > 0);
            Path filler = small.resolve("filler");
            assertThat(run("dd", "if=/dev/zero", "of=" + filler, "bs=64k", "count=96"))
                    .isTrue();
            engine.rate(id, 0);
            MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
            assertThat(parked.error()).contains("no space left on device");
            guest.goOn(100);
            Files.delete(filler);
            engine.resume(id);
            assertDone(id);
            guest.goOn(50);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
            world.stacks.release(disk);
        } finally {
            run("umount", "-l", small.toString());
        }
    }

    private static boolean run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        process.getInputStream().readAllBytes();
        return process.waitFor() == 0;
    }

    @Test
    void aSourceThatCannotBeMadeDurableEndsTheMove() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 30);
        world.openDisk("vm1");
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        world.file("vm1.raw").mood = Mood.NO_FLUSHES;
        engine.rate(id, 0);
        MigrationStatus failed = ended(id);
        assertThat(failed.state()).as(failed.toString()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("flush on");
        assertThat(world.names("fast")).isEmpty();
    }

    @Test
    void aSourceThatDoesNotComeToRestIsSwitchedLater() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 31);
        OpenDisk disk = world.openDisk("vm1");
        FlakyDevice source = world.file("vm1.raw");
        CompletableFuture<Boolean> read = new CompletableFuture<>();
        world.whenWritten = record -> {
            if (record.phase() == Phase.SWITCH && source.mood == Mood.WELL) {
                world.whenWritten = later -> {};
                hang(disk, source, read);
            }
        };
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        await(id, status -> status.phase() == Phase.SWITCH);
        MigrationStatus waiting = engine.await(id, Duration.ofMillis(1500));
        assertThat(waiting.disks().getFirst().switched()).isFalse();
        OnLoop.run(disk.loop().loop(), source::wakeUp);
        assertThat(read.get(20, TimeUnit.SECONDS)).isTrue();
        assertDone(id);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    /** A read of the guest that the source does not answer. */
    private static void hang(OpenDisk disk, FlakyDevice source, CompletableFuture<Boolean> read) {
        IoBuffer buffer = IoBuffer.allocate(4096);
        disk.loop().loop().execute(() -> {
            source.mood = Mood.SILENT;
            disk.front().read(0, buffer, 0, 4096, error -> read.complete(error == null));
            source.mood = Mood.WELL;
        });
    }

    @ParameterizedTest
    @EnumSource(
            value = Mood.class,
            names = {"NO_CHANGES", "NO_FLUSHES", "FULL", "SILENT"})
    void aTargetThatFailsNeverReachesTheGuest(Mood mood) throws Exception {
        if (mood == Mood.SILENT) {
            world.mirror = World.withStallMax(Duration.ofMillis(400));
        }
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 17);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 18).start();
        String id = engine.start(slowly("vm1", "fast", 2 * SLOW)).id();
        await(id, status -> status.doneBytes() > 200_000);
        world.file(".vm1.raw.partial").mood = mood;
        engine.rate(id, 0);
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("the target is lost");
        guest.goOn(100);
        if (mood == Mood.SILENT) {
            refused(ErrorKind.UNAVAILABLE, "has not answered", () -> engine.resume(id));
        }
        assertCancelled(engine.cancel(id), guest, disk);
    }

    @Test
    void aTargetThatComesBackIsTakenUpAgain() throws Exception {
        world.mirror = World.withStallMax(Duration.ofSeconds(2));
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 18);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 19).start();
        String id = engine.start(slowly("vm1", "fast", 4 * SLOW)).id();
        await(id, status -> status.doneBytes() > 200_000);
        FlakyDevice target = world.file(".vm1.raw.partial");
        target.mood = Mood.SILENT;
        await(id, status -> status.state() == MigrationState.PARKED);
        guest.goOn(100);
        OnLoop.run(disk.loop().loop(), target::wakeUp);
        await(id, status -> resumed(id));
        assertDone(id);
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    private boolean resumed(String id) {
        try {
            return engine.resume(id).state() != MigrationState.PARKED;
        } catch (BlockException e) {
            assertThat(e.kind()).isEqualTo(ErrorKind.UNAVAILABLE);
            return false;
        }
    }

    @Test
    void aSourceThatCannotBeReadEndsTheMoveWithOneLine() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 19);
        world.openDisk("vm1");
        String id = engine.start(slowly("vm1", "fast", SLOW)).id();
        await(id, status -> status.doneBytes() > 0);
        world.file("vm1.raw").mood = Mood.NO_READS;
        engine.rate(id, 0);
        MigrationStatus failed = ended(id);
        assertThat(failed.state()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("read of").doesNotContain("\n");
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).containsExactly("vm1.raw");
    }

    @Test
    void aJournalThatFailsAtTheDecisionParksTheMove() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 20);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 20).start();
        world.decisionFails = true;
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("journal of m1");
        guest.goOn(100);
        world.decisionFails = false;
        engine.resume(id);
        assertDone(id);
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    @Test
    void aMoveWhoseDecisionIsInDoubtCanBeCancelledOnceTheJournalSaysSo() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 21);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 21).start();
        world.decisionFails = true;
        world.rewriteFails = true;
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        await(id, status -> status.state() == MigrationState.PARKED);
        refused(ErrorKind.IO, "journal of m1", () -> engine.cancel(id));
        refused(ErrorKind.IO, "journal of m1", () -> engine.resume(id));
        guest.goOn(50);
        assertThat(engine.find(id).state()).isEqualTo(MigrationState.PARKED);
        world.rewriteFails = false;
        assertCancelled(engine.cancel(id), guest, disk);
    }

    @Test
    void anInventoryThatFailsKeepsTheSourceUntilItIsCommitted() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 22);
        Path source = world.path("vm1");
        world.inventoryFails = true;
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus switched = ended(id);
        assertThat(switched.state()).isEqualTo(MigrationState.SWITCHED);
        assertThat(switched.error()).contains("inventory").contains("ferry migration commit m1");
        assertThat(source).exists();
        refused(ErrorKind.BUSY, "committed first", () -> engine.start(MigrationRequest.of("vm1", "third")));
        refused(ErrorKind.IO, "inventory", () -> engine.commit(id));
        world.inventoryFails = false;
        assertThat(engine.commit(id).state()).isEqualTo(MigrationState.DONE);
        assertThat(source).doesNotExist();
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    @Test
    void aGuestThatNeverRestsIsMovedAllTheSame() throws Exception {
        byte[] content = world.disk("vm1", World.MIB, Provisioning.THIN, 23);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 22).start();
        for (String datastore : List.of("fast", "slow", "fast", "slow")) {
            assertDone(engine.start(MigrationRequest.of("vm1", datastore)).id());
        }
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    // ---- help

    private static MigrationRequest slowly(String disk, String datastore, long bytesPerSecond) {
        return new MigrationRequest(List.of(disk), datastore, null, bytesPerSecond, true, false);
    }

    private MigrationStatus ended(String id) throws BlockException {
        return engine.await(id, LONG);
    }

    private MigrationStatus assertDone(String id) throws BlockException {
        MigrationStatus status = ended(id);
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.DONE);
        return status;
    }

    private void assertCancelled(MigrationStatus status, Guest guest, OpenDisk disk) throws Exception {
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.CANCELLED);
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).containsExactly("vm1.raw");
    }

    private MigrationStatus await(String id, Predicate<MigrationStatus> wanted) throws BlockException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (true) {
            MigrationStatus status = engine.await(id, Duration.ofMillis(5));
            if (wanted.test(status)) {
                return status;
            }
            assertThat(status.state().over()).as(status.toString()).isFalse();
            assertThat(System.nanoTime()).as(status.toString()).isLessThan(deadline);
        }
    }

    private static void refused(ErrorKind kind, String words, ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOfSatisfying(BlockException.class, e -> {
            assertThat(e.getMessage()).contains(words).doesNotContain("\n");
            assertThat(e.kind()).isEqualTo(kind);
        });
    }
}
