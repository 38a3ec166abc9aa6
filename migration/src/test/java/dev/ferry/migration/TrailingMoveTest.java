package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.migration.MigrationStatus.DiskStatus;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Targets far away, that trail or do not; and targets that go away, in both ways of mirroring. */
class TrailingMoveTest extends EngineRig {
    private static final long FAR_NANOS = 8_000_000;

    private static MigrationRequest asked(@Nullable Mirroring how, long bytesPerSecond) {
        PaceSettings pace = new PaceSettings(0, PaceSettings.DEFAULT.floorBytesPerSecond(), how);
        return new MigrationRequest(
                List.of("vm1"), "fast", null, null, bytesPerSecond, true, false, 0, pace, StrategySettings.DEFAULT);
    }

    private DiskStatus moved(@Nullable Mirroring how) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 61);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 62).start();
        String id = engine.start(asked(how, 0)).id();
        MigrationStatus done = assertDone(id);
        assertThat(done.verified()).isTrue();
        guest.goOn(50);
        assertIntact(guest, disk);
        return done.disks().getFirst();
    }

    @Test
    void aTargetFarAwayTrailsAndTheReportSaysSo() throws Exception {
        world.targetDelayNanos = FAR_NANOS;
        DiskStatus disk = moved(null);
        assertThat(disk.mirroring()).isEqualTo("trailing");
        assertThat(Objects.requireNonNull(disk.targetLatencyMillis())).isBetween(8.0, 2000.0);
    }

    @Test
    void whoWantsBothSidesToAnswerGetsThatFarAway() throws Exception {
        world.targetDelayNanos = FAR_NANOS;
        assertThat(moved(Mirroring.SYNC).mirroring()).isEqualTo("sync");
    }

    @Test
    void aTargetNearbyTrailsIfAskedFor() throws Exception {
        assertThat(moved(Mirroring.TRAILING).mirroring()).isEqualTo("trailing");
    }

    @ParameterizedTest
    @EnumSource(Mirroring.class)
    void aTargetThatHangsIsTakenUpAgainWithOnlyWhatChangedSince(Mirroring how) throws Exception {
        comesBack(how, Mood.SILENT);
    }

    @ParameterizedTest
    @EnumSource(Mirroring.class)
    void aTargetThatIsFullIsTakenUpAgainWithOnlyWhatChangedSince(Mirroring how) throws Exception {
        comesBack(how, Mood.FULL);
    }

    /** What of a target that erred is believed is what was flushed: of a checkpoint by then, all that is older. */
    @ParameterizedTest
    @EnumSource(Mirroring.class)
    void aTargetThatErrsIsLetGoAndTakenUpAgain(Mirroring how) throws Exception {
        long copied = away(how, Mood.NO_CHANGES);
        assertThat(copied).isLessThan(SIZE);
    }

    private void comesBack(Mirroring how, Mood mood) throws Exception {
        // No checkpoint: of a flush that is under way when the target hangs nobody knows the end, so that what was
        // copied since
        // the last one would be copied again.
        world.steps = new StepSettings(20_000_000L, LONG.toNanos(), 1);
        // What the guest has changed, and what the copier had in hand: four regions, and four.
        assertThat(away(how, mood)).isLessThanOrEqualTo(SIZE / 2 + 8L * World.REGION_BYTES);
    }

    /** As soon as the target has answered what it was asked before. */
    private void resume(String id) throws Exception {
        await(id, status -> {
            try {
                engine.resume(id);
                return true;
            } catch (BlockException e) {
                assertThat(e.getMessage()).contains("has not answered");
                return false;
            }
        });
    }

    /** Bytes copied by a move whose target goes away when half is done, while the guest writes to four regions. */
    private long away(Mirroring how, Mood mood) throws Exception {
        // A real disk under the load of other tests may take seconds; a target that is let go twice copies more.
        world.mirror = World.withStallMax(Duration.ofSeconds(6));
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 63);
        OpenDisk disk = world.openDisk("vm1");
        String id = engine.start(asked(how, 3 * SLOW)).id();
        await(id, status -> status.doneBytes() > SIZE / 4);
        FlakyDevice target = world.file(".vm1.raw.partial");
        target.mood = mood;
        IoBuffer ones = IoBuffer.allocate(4096);
        ones.segment().fill((byte) 1);
        for (int region = 0; region < 4; region++) {
            int offset = region * World.REGION_BYTES;
            OnLoop.await(disk.loop().loop(), done -> disk.front().write(offset, ones, 0, 4096, 0, done));
            Arrays.fill(content, offset, offset + 4096, (byte) 1);
        }
        await(id, status -> status.state() == MigrationState.PARKED);
        disk.flush();
        assertThat(Files.readAllBytes(world.path("vm1")))
                .as("the guest was served")
                .isEqualTo(content);
        OnLoop.run(disk.loop().loop(), target::wakeUp);
        engine.rate(id, 0);
        resume(id);
        MigrationStatus done = assertDone(id);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        return done.disks().getFirst().bytesCopied();
    }
}
