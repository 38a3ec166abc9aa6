package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.DiskRecord.Proof;
import dev.ferry.migration.journal.Grace;
import dev.ferry.stack.OpenDisk;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Comparisons on demand: they find what somebody else wrote to a side, wherever the move is, beside the guest. */
class ProvingTest extends EngineRig {
    private static Proof proof(MigrationStatus status) {
        return Objects.requireNonNull(status.disks().getFirst().proof());
    }

    private MigrationStatus proved(String id) throws Exception {
        engine.verify(id);
        return await(id, status -> status.disks().getFirst().proof() != null && status.verification() == null);
    }

    private static void scribble(Path file, long offset) throws Exception {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(new byte[] {1, 2, 3, 4, 5, 6, 7, 8}), offset);
        }
    }

    /** However busy the machine is, the guest can be held for what is left. */
    private static MigrationRequest by(Strategy strategy, long bytesPerSecond, boolean keepSource) {
        return new MigrationRequest(List.of("vm1"), "fast", null, bytesPerSecond, false, keepSource)
                .by(StrategySettings.of(strategy, DOWNTIME_NANOS));
    }

    @ParameterizedTest
    @EnumSource
    void whatIsCopiedByNowIsComparedAndWhatSomebodyWroteToItIsMended(Strategy strategy) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 81);
        world.openDisk("vm1");
        String id = engine.start(by(strategy, 2 * SLOW, true)).id();
        await(id, status -> status.doneBytes() > 1_000_000);
        engine.pause(id);
        await(id, status -> status.bytesPerSecond() == 0);
        Proof sound = proof(proved(id));
        assertThat(sound.equal()).isTrue();
        assertThat(sound.comparedBytes()).isBetween(1_000_000L, SIZE - 1L);
        assertThat(sound.targetDigest()).isNull();

        scribble(directory.resolve("fast/.vm1.raw.partial"), 5_000);
        engine.verify(id);
        Proof found = proof(await(id, status -> !proof(status).equal()));
        assertThat(found.differences()).containsExactly("4096 bytes at 4096");
        assertThat(found.mended()).isTrue();
        engine.rate(id, 0);
        engine.resume(id);
        assertDone(id);
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        Receipt.Disk receipt = engine.receipt(id).disks().getFirst();
        assertThat(receipt.differencesFound()).isEqualTo(found.differences());
        assertThat(Objects.requireNonNull(receipt.verifiedAgain()).equal()).isFalse();
    }

    /** What the guest changes under a comparison is no difference, whether the target is told of it at once or not. */
    @ParameterizedTest
    @EnumSource
    void besideAGuestNothingDiffersAndTheSwitchWaitsForWhatIsCompared(Strategy strategy) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 84);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 84).start();
        String id = engine.start(by(strategy, 4 * SLOW, false)).id();
        await(id, status -> status.doneBytes() > 1_000_000);
        Proof early = proof(proved(id));
        assertThat(early.equal()).as(early.toString()).isTrue();
        refusedOrBegun(id);
        MigrationStatus done = assertMoved(id, strategy, guest, disk);
        Proof late = proof(done);
        assertThat(late.failure()).isNull();
        assertThat(late.equal()).as(late.toString()).isTrue();
    }

    /** It may be over, or at its switch, by now. */
    private void refusedOrBegun(String id) {
        try {
            engine.verify(id);
        } catch (BlockException e) {
            assertThat(e.kind()).isIn(ErrorKind.BUSY, ErrorKind.INVALID);
        }
    }

    @ParameterizedTest
    @EnumSource
    void whileTheWayBackIsOpenWhatDiffersIsNamedAndNothingIsTouched(Strategy strategy) throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 82);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 82).start();
        String id = engine.start(by(strategy, 0, false).withGrace(Grace.UNTIL_COMMIT))
                .id();
        await(id, status -> status.phase() == Phase.KEEP && status.wayBack() != null);
        guest.goOn(100);
        Proof sound = proof(proved(id));
        assertThat(sound.equal()).as(sound.toString()).isTrue();
        assertThat(sound.comparedBytes()).isEqualTo(SIZE);
        assertThat(sound.sourceDigest()).hasSize(64).isEqualTo(sound.targetDigest());
        guest.goOn(100);
        guest.stop();
        scribble(world.path("vm1"), 1_000_000);
        engine.verify(id);
        MigrationStatus status = await(id, now -> !proof(now).equal());
        assertThat(proof(status).differences()).hasSize(1).first().asString().endsWith(" at 999424");
        assertThat(proof(status).mended()).isFalse();
        assertThat(status.state()).isEqualTo(MigrationState.SWITCHED);
        assertThat(engine.receipt(id).disks().getFirst().verifiedAgain()).isEqualTo(proof(status));
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        guest.check(world.path("vm1"));
    }

    @Test
    void whatCannotBeComparedIsRefused() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 83);
        refused(ErrorKind.NOT_FOUND, "m7", () -> engine.verify("m7"));
        String id = engine.start(MigrationRequest.of("vm1", "fast")).id();
        assertDone(id);
        refused(ErrorKind.INVALID, "done", () -> engine.verify(id));
    }
}
