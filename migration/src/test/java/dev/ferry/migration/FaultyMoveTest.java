package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.testkit.SmallDisk;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Whatever fails during a move, it does not reach the guest, and nothing of it is left behind. */
@Tag("alone")
class FaultyMoveTest extends EngineRig {
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
        try (SmallDisk small = SmallDisk.of(directory, 8 * World.MIB)) {
            world.add("small", small.path());
            byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 29);
            OpenDisk disk = world.openDisk("vm1");
            Guest guest = new Guest(disk, content, 29).start();
            String id = engine.start(slowly("vm1", "small", SLOW)).id();
            await(id, status -> status.doneBytes() > 0);
            small.fill();
            engine.rate(id, 0);
            MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
            assertThat(parked.error()).containsAnyOf("no space left on device", "are to stay free");
            guest.goOn(100);
            small.empty();
            engine.resume(id);
            assertDone(id);
            guest.goOn(50);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
            world.stacks.release(disk);
        }
    }

    @Test
    void ofATargetThatWasFullOnlyTheRestIsCopied() throws Exception {
        assertThat(copiedAfter(Mood.FULL)).isLessThan(SIZE / 2 + 16 * World.REGION_BYTES);
    }

    @Test
    void ofATargetThatFailedNothingIsTrustedThatWasNotFlushed() throws Exception {
        world.steps = new StepSettings(20_000_000L, LONG.toNanos(), 1);
        assertThat(copiedAfter(Mood.NO_CHANGES)).isGreaterThan(SIZE / 2 + SIZE / 8);
    }

    /** Bytes copied in all by a move whose target fails when a third is done, and is well again when it is resumed. */
    private long copiedAfter(Mood mood) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 34);
        String id = engine.start(slowly("vm1", "fast", 2 * SLOW)).id();
        await(id, status -> status.doneBytes() > SIZE / 6);
        FlakyDevice target = world.file(".vm1.raw.partial");
        target.mood = mood;
        await(id, status -> status.state() == MigrationState.PARKED);
        target.mood = Mood.WELL;
        engine.rate(id, 0);
        engine.resume(id);
        long copied = assertDone(id).disks().getFirst().bytesCopied();
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        return copied;
    }

    @Test
    void whatTheSourceFailedDuringTheComparisonIsCopiedAndComparedAgain() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 36);
        OpenDisk disk = world.openDisk("vm1");
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        engine.rate(id, SLOW);
        await(id, status -> status.phase() == Phase.VERIFY);
        engine.pause(id);
        FlakyDevice source = world.file("vm1.raw");
        source.mood = Mood.NO_CHANGES;
        assertThatThrownBy(() -> OnLoop.await(
                        disk.loop().loop(), done -> disk.front().write(0, IoBuffer.allocate(4096), 0, 4096, 0, done)))
                .isInstanceOf(BlockException.class);
        source.mood = Mood.WELL;
        engine.rate(id, 0);
        engine.resume(id);
        assertThat(assertDone(id).verified()).isTrue();
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
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
        assertThat(read.get(90, TimeUnit.SECONDS)).isTrue();
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

    /** Ways in which a target may have gone wrong. */
    enum Damage {
        BIT_FLIP {
            @Override
            void on(byte[] bytes) {
                bytes[1_000_000] ^= 8;
            }
        },
        LOST_WRITE {
            @Override
            void on(byte[] bytes) {
                Arrays.fill(bytes, 524_288, 528_384, (byte) 0);
            }
        },
        TORN_WRITE {
            @Override
            void on(byte[] bytes) {
                Arrays.fill(bytes, 524_288 + 512, 524_288 + 2048, (byte) 0x33);
            }
        },
        SWAPPED_REGIONS {
            @Override
            void on(byte[] bytes) {
                byte[] first = Arrays.copyOfRange(bytes, 0, 65_536);
                System.arraycopy(bytes, 65_536, bytes, 0, 65_536);
                System.arraycopy(first, 0, bytes, 65_536, 65_536);
            }
        },
        LOST_DISCARD {
            @Override
            void on(byte[] bytes) {
                Arrays.fill(bytes, 300_000, 304_096, (byte) 1);
            }
        };

        abstract void on(byte[] bytes);
    }

    @ParameterizedTest
    @EnumSource(Damage.class)
    void whatDiffersIsNamedRepairedAndComparedAgain(Damage damage) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 51);
        world.whenWritten = record -> {
            if (record.phase() == Phase.VERIFY) {
                world.whenWritten = later -> {};
                spoil(damage);
            }
        };
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        MigrationStatus done = assertDone(id);
        assertThat(done.verified()).isTrue();
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        Receipt.Disk receipt = engine.receipt(id).disks().getFirst();
        assertThat(receipt.repairs()).isEqualTo(1);
        assertThat(receipt.differencesFound()).isNotEmpty().allMatch(range -> range.matches("[0-9]+ bytes at [0-9]+"));
        assertThat(receipt.sourceDigest()).hasSize(64).isEqualTo(receipt.targetDigest());
        assertThat(directory.resolve("journal/m1.receipt.json")).content().contains(receipt.sourceDigest());
    }

    private void spoil(Damage damage) {
        try {
            Path target = directory.resolve("fast/.vm1.raw.partial");
            byte[] bytes = Files.readAllBytes(target);
            damage.on(bytes);
            Files.write(target, bytes, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void aTargetThatDiffersAgainAndAgainIsNotSwitchedTo() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 52);
        world.whenWritten = record -> {
            if (record.phase() == Phase.VERIFY) {
                spoil(Damage.LOST_WRITE);
            }
        };
        MigrationStatus failed =
                ended(engine.start(MigrationRequest.of("vm1", "fast")).id());
        assertThat(failed.state()).isEqualTo(MigrationState.FAILED);
        assertThat(failed.error()).contains("still differ after 3 repairs").contains(" bytes at 524288");
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        assertThat(world.names("fast")).isEmpty();
        refused(ErrorKind.INVALID, "there is a receipt once its guests have switched", () -> engine.receipt("m1"));
    }

    @Test
    void aMoveStopsBeforeTheTargetIsFullAndGoesOnByItself() throws Exception {
        try (SmallDisk small = SmallDisk.of(directory, 32 * World.MIB)) {
            world.add("small", small.path());
            byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 53);
            OpenDisk disk = world.openDisk("vm1");
            Guest guest = new Guest(disk, content, 53).start();
            String id = engine.start(slowly("vm1", "small", SLOW / 4)).id();
            await(id, status -> status.doneBytes() > 0);
            small.fill(SpaceGuard.lowBytes(32 << 20) - (16 << 10));
            MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
            assertThat(parked.error()).contains("are to stay free", "goes on by itself");
            guest.goOn(20);
            small.empty();
            await(id, status -> status.state() == MigrationState.RUNNING);
            engine.rate(id, 0);
            assertDone(id);
            guest.goOn(20);
            guest.stop();
            disk.flush();
            guest.check(world.path("vm1"));
            world.stacks.release(disk);
        }
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
}
