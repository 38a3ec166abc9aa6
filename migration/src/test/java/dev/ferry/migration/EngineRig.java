package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.stack.OpenDisk;
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

    void assertCancelled(MigrationStatus status, Guest guest, OpenDisk disk) throws Exception {
        assertThat(status.state()).as(status.toString()).isEqualTo(MigrationState.CANCELLED);
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(world.path("vm1"));
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
