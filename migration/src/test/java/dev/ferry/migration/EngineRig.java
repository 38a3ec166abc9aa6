package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.Predicate;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A world with an engine for tests of moves on real files and loops. What is waited for comes at once, unless the machine's
 * disk is busy with something else: then making a file durable has been seen to take most of a minute.
 */
@Timeout(240)
abstract class EngineRig {
    static final int SIZE = 6 * World.MIB;
    static final long SLOW = 1 << 20;

    /** So long that a guest which is everywhere on a small disk is held in time on a busy machine too. */
    static final long DOWNTIME_NANOS = 20_000_000_000L;

    static final Duration LONG = Duration.ofSeconds(100);

    @TempDir
    Path directory;

    World world;
    MigrationEngine engine;

    @BeforeEach
    void boot() throws Exception {
        world = new World(directory);
        engine = world.engine;
    }

    @AfterEach
    void shutDown() {
        world.close();
    }

    static MigrationRequest slowly(String disk, String datastore, long bytesPerSecond) {
        return new MigrationRequest(List.of(disk), datastore, null, bytesPerSecond, true, false);
    }

    MigrationStatus ended(String id) throws BlockException {
        return engine.await(id, LONG);
    }

    MigrationStatus assertDone(String id) throws BlockException {
        MigrationStatus status = ended(id);
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.DONE);
        return status;
    }

    /** Stops the guest: its disk, wherever it is by now, holds what the guest wrote. */
    void assertIntact(Guest guest, OpenDisk disk) throws Exception {
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
    }

    /** The move ends, by that strategy, and nothing is lost or left behind. */
    MigrationStatus assertMoved(String id, Strategy by, Guest guest, OpenDisk disk) throws Exception {
        MigrationStatus done = assertDone(id);
        assertThat(done.mode()).isEqualTo(by.text());
        guest.goOn(100);
        assertIntact(guest, disk);
        assertThat(world.names("slow")).isEmpty();
        assertThat(world.names("fast")).containsExactly("vm1.raw");
        return done;
    }

    /** @param slowly a move of vm1 that has not got far when its guest discards and zeroes */
    void assertThinStaysThinAndDiscardsAndZeroesCount(MigrationRequest slowly, long seed) throws Exception {
        world.disk("vm1", 4 * World.MIB, Provisioning.THIN, seed);
        try (RandomAccessFile file = new RandomAccessFile(world.path("vm1").toFile(), "rw")) {
            file.setLength(64 * World.MIB);
        }
        OpenDisk disk = world.openDisk("vm1");
        String id = engine.start(slowly).id();
        await(id, status -> status.disks().getFirst().bytesCopied() > 300_000);
        OnLoop.await(disk.loop().loop(), done -> disk.front().discard(0, 512 << 10, 0, done));
        OnLoop.await(disk.loop().loop(), done -> disk.front().writeZeroes(512 << 10, 512 << 10, 0, done));
        engine.rate(id, 0);
        long source = Stacks.allocatedBytes(world.path("vm1"));
        assertDone(id);
        assertThat(Stacks.allocatedBytes(world.path("vm1"))).isBetween(1L, source + (128 << 10));
        byte[] moved = Files.readAllBytes(world.path("vm1"));
        for (int i = 0; i < 1 << 20; i++) {
            assertThat(moved[i]).as("byte %d", i).isZero();
        }
    }

    void assertCancelled(MigrationStatus status, Guest guest, OpenDisk disk) throws Exception {
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.CANCELLED);
        guest.goOn(50);
        assertIntact(guest, disk);
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).containsExactly("vm1.raw");
    }

    MigrationStatus await(String id, Predicate<MigrationStatus> wanted) throws BlockException {
        long deadline = System.nanoTime() + LONG.toNanos();
        while (true) {
            MigrationStatus status = engine.await(id, Duration.ofMillis(5));
            if (wanted.test(status)) {
                return status;
            }
            assertThat(status.state().over()).as(status.toString()).isFalse();
            assertThat(System.nanoTime()).as(status.toString()).isLessThan(deadline);
        }
    }

    static void refused(ErrorKind kind, String words, ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOfSatisfying(BlockException.class, e -> {
            assertThat(e.getMessage()).contains(words).doesNotContain("\n");
            assertThat(e.kind()).isEqualTo(kind);
        });
    }
}
