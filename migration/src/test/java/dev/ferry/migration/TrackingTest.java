package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Moves by iterations on real files and loops, with a guest at work that knows what its disk must hold. */
class TrackingTest extends EngineRig {
    private static MigrationRequest tracked(List<String> disks, long bytesPerSecond, boolean verify) {
        return new MigrationRequest(disks, "fast", null, bytesPerSecond, verify, false)
                .by(StrategySettings.of(Strategy.TRACKING, DOWNTIME_NANOS));
    }

    private static MigrationRequest tracked(long bytesPerSecond) {
        return tracked(List.of("vm1"), bytesPerSecond, true);
    }

    private void assertMoved(String id, Guest guest, OpenDisk disk) throws Exception {
        MigrationStatus done = assertMoved(id, Strategy.TRACKING, guest, disk);
        assertThat(done.disks().getFirst().bytesMirrored()).isZero();
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void movesADiskInUse(boolean verify) throws Exception {
        byte[] content = world.disk("vm1", SIZE + 12_345, Provisioning.THIN, 61);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 61).start();
        guest.goOn(100);
        String id = engine.start(tracked(List.of("vm1"), 0, verify)).id();
        MigrationStatus done = assertDone(id);
        assertThat(done.verified()).isEqualTo(verify);
        if (verify) {
            MigrationStatus.DiskStatus figures = done.disks().getFirst();
            assertThat(figures.sourceDigest()).hasSize(64).isEqualTo(figures.targetDigest());
            assertThat(engine.receipt(id).digestScheme()).contains("64 KiB").contains("more than once");
        }
        assertMoved(id, guest, disk);
    }

    @Test
    void aGroupIsHeldAndSwitchedTogether() throws Exception {
        world.threads = 2;
        world.reboot();
        engine = world.engine;
        List<String> names = List.of("vm1", "vm2", "vm3");
        List<Guest> guests = new ArrayList<>();
        for (String name : names) {
            byte[] content = world.disk(name, SIZE, Provisioning.THIN, 62);
            guests.add(new Guest(world.openDisk(name), content, 62).start());
        }
        assertDone(engine.start(tracked(names, 0, true)).id());
        for (int i = 0; i < names.size(); i++) {
            guests.get(i).goOn(50);
            guests.get(i).stop();
            world.openDisk(names.get(i)).flush();
            guests.get(i).check(world.path(names.get(i)));
        }
        assertThat(world.names("fast")).hasSize(3);
    }

    /** What the guest changes all the time takes longer to move than it may be held: it is told, and becomes a mirror. */
    @Test
    void aGuestThatIsTooFastIsToldOfAndCanBeMirrored() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 63);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 63).start();
        String id = engine.start(tracked(3 * SLOW)
                        .by(StrategySettings.of(Strategy.TRACKING, StrategySettings.MAX_DOWNTIME_NANOS)))
                .id();
        MigrationStatus told = await(
                id,
                status -> status.convergence() != null && !status.convergence().converges());
        Convergence why = Objects.requireNonNull(told.convergence());
        assertThat(why.advice())
                .startsWith("will not converge: guest ")
                .endsWith("change with 'ferry migration mode " + id + " mirror'");
        assertThat(why.downtimeMillis()).isGreaterThan(why.downtimeMillisMax());
        assertThat(why.iterations()).isGreaterThan(1);
        refused(ErrorKind.UNSUPPORTED, "cannot become", () -> {
            engine.mode(id, Strategy.MIRROR);
            engine.mode(id, Strategy.TRACKING);
        });
        MigrationStatus done = assertDone(id);
        assertThat(done.mode()).isEqualTo("mirror");
        assertThat(done.verified()).isTrue();
        assertThat(done.disks().getFirst().bytesMirrored()).isPositive();
        guest.goOn(50);
        assertIntact(guest, disk);
    }

    @Test
    void thinStaysThinAndDiscardsAndZeroesCount() throws Exception {
        assertThinStaysThinAndDiscardsAndZeroesCount(tracked(SLOW), 64);
    }

    @Test
    void afterAKillWhatIsKnownCleanIsKept() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 65);
        world.openDisk("vm1");
        String id = engine.start(tracked(2 * SLOW)).id();
        await(id, status -> status.disks().getFirst().bytesCopied() > 1_500_000);
        engine.pause(id);
        await(id, status -> status.bytesPerSecond() == 0);
        world.reboot();
        engine = world.engine;
        assertThat(engine.recover()).hasSize(1);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 65).start();
        guest.goOn(50);
        engine.goOn();
        MigrationStatus found = await(id, now -> now.resumed() != null);
        assertThat(Objects.requireNonNull(found.resumed()).keptBytes()).isBetween(1_000_000L, SIZE - 1L);
        engine.rate(id, 0);
        engine.resume(id);
        assertMoved(id, guest, disk);
    }

    @ParameterizedTest
    @EnumSource(
            value = Mood.class,
            names = {"NO_CHANGES", "FULL"})
    void aTargetThatFailsIsTakenUpAgain(Mood mood) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 66);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 66).start();
        String id = engine.start(tracked(2 * SLOW)).id();
        await(id, status -> status.doneBytes() > 200_000);
        world.file(".vm1.raw.partial").mood = mood;
        MigrationStatus parked = await(id, status -> status.state() == MigrationState.PARKED);
        assertThat(parked.error()).contains("the target is lost");
        guest.goOn(200);
        world.file(".vm1.raw.partial").mood = Mood.WELL;
        engine.rate(id, 0);
        engine.resume(id);
        assertMoved(id, guest, disk);
    }

    /** Nobody writes: what a guest changes is copied again, and would be right before it was compared. */
    @Test
    void whatDiffersIsNamedAndRepaired() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 67);
        world.whenWritten = record -> {
            if (record.phase() == Phase.VERIFY) {
                world.whenWritten = later -> {};
                flipAllBits();
            }
        };
        String id = engine.start(tracked(0)).id();
        assertThat(assertDone(id).verified()).isTrue();
        assertThat(engine.receipt(id).disks().getFirst().differencesFound()).isNotEmpty();
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
    }

    private void flipAllBits() {
        try {
            Path target = directory.resolve("fast/.vm1.raw.partial");
            byte[] bytes = Files.readAllBytes(target);
            for (int i = 0; i < bytes.length; i++) {
                bytes[i] ^= 1;
            }
            Files.write(target, bytes, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void itCanBePausedResumedAndCalledOff() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 68);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 68).start();
        String id = engine.start(tracked(2 * SLOW)).id();
        await(id, status -> status.doneBytes() > 200_000);
        engine.pause(id);
        guest.goOn(50);
        engine.resume(id);
        guest.goOn(50);
        assertCancelled(engine.cancel(id), guest, disk);
    }
}
