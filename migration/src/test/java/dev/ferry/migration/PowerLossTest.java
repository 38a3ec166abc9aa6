package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockException;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.Grace;
import dev.ferry.stack.OpenDisk;
import dev.ferry.testkit.LoopMount;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The power fails, again and again, in the middle of a move: both datastores and the journal are on an xfs that forgets what
 * it was not told to make durable. Whatever was left, the disk is one that a guest may find after a loss of power: all that
 * it flushed is there.
 */
@Timeout(300)
final class PowerLossTest {
    private static final int SIZE = 3 * World.MIB;
    private static final long XFS_BYTES = 512L << 20;
    private static final int CUTS = 5;
    private static final long RATE = 8 * World.MIB;
    private static final long SHORT_ROUND_NANOS = 50_000_000L;
    private static final long DOWNTIME_NANOS = 20_000_000_000L;
    private static final Logger LOG = LoggerFactory.getLogger(PowerLossTest.class);
    private static final Duration LONG = Duration.ofSeconds(100);

    @TempDir
    Path directory;

    private LoopMount xfs;
    private World world;

    @BeforeEach
    void mount() throws Exception {
        xfs = LoopMount.of(directory, "xfs", XFS_BYTES);
        world = new World(Files.createDirectory(xfs.path().resolve("world")));
    }

    @AfterEach
    void unmount() throws Exception {
        world.close();
        xfs.close();
    }

    @ParameterizedTest
    @CsvSource({
        "MIRROR, false, false, 1",
        "MIRROR, true, true, 2",
        "TRACKING, true, false, 3",
        "SNAPSHOT, false, false, 4",
        "SNAPSHOT, false, true, 5"
    })
    void whatWasFlushedIsThereWheneverItFails(Strategy strategy, boolean direct, boolean grace, long seed)
            throws Exception {
        SplittableRandom random = new SplittableRandom(seed);
        world.direct = direct;
        world.roundNanosMin = SHORT_ROUND_NANOS;
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, seed);
        xfs.sync();
        for (int cut = 1; cut <= CUTS; cut++) {
            UnsureGuest guest = new UnsureGuest(world.openDisk("vm1"), content).start(random.nextLong());
            goOn(strategy, grace, random.nextBoolean());
            guest.goOn(random.nextLong(20, 2500));
            guest.powerFails();
            world.powerFails();
            xfs.cutPower();
            guest.await();
            world.powerOff();
            xfs.restorePower();
            world.powerOn("boot " + cut);
            world.engine.recover();
            world.engine.beforeOpen("vm1");
            content = UnsureGuest.read(world.openDisk("vm1"));
            guest.checkAfterLossOfPower(content);
        }
        bringToItsEnd(content, random.nextBoolean());
    }

    /** The move that there is, or a new one; one that is switched goes back, or is committed. */
    private void goOn(Strategy strategy, boolean grace, boolean back) throws BlockException {
        world.engine.goOn();
        List<MigrationStatus> underWay = underWay();
        if (underWay.isEmpty()) {
            String to = world.disk("vm1").datastore().equals("fast") ? "slow" : "fast";
            world.engine.start(new MigrationRequest(List.of("vm1"), to, null, RATE, true, false)
                    .by(StrategySettings.of(strategy, DOWNTIME_NANOS))
                    .withGrace(grace ? Grace.UNTIL_COMMIT : 0));
        } else if (underWay.getFirst().phase() == Phase.KEEP) {
            String id = underWay.getFirst().id();
            Thread.startVirtualThread(() -> end(id, back));
        }
    }

    /** Until the power fails. */
    private void end(String id, boolean back) {
        try {
            if (back) {
                world.engine.rollback(id);
            } else {
                world.engine.commit(id);
            }
        } catch (BlockException | World.PowerCut late) {
            LOG.debug("the power has failed", late);
        }
    }

    private List<MigrationStatus> underWay() {
        return world.engine.list().stream()
                .filter(status -> !status.state().over())
                .toList();
    }

    private void bringToItsEnd(byte[] content, boolean back) throws Exception {
        OpenDisk disk = world.openDisk("vm1");
        UnsureGuest guest = new UnsureGuest(disk, content).start(7);
        world.engine.goOn();
        for (MigrationStatus status : underWay()) {
            String id = status.id();
            long deadline = System.nanoTime() + LONG.toNanos();
            MigrationStatus now = status;
            while (!now.state().over() && now.phase() != Phase.KEEP) {
                assertThat(System.nanoTime()).as(now.toString()).isLessThan(deadline);
                now = world.engine.await(id, Duration.ofMillis(5));
            }
            if (now.phase() == Phase.KEEP) {
                end(id, back);
            }
            assertThat(world.engine.await(id, LONG).state()).isIn(MigrationState.DONE, MigrationState.ROLLED_BACK);
        }
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(Files.readAllBytes(world.path("vm1")));
        String here = world.disk("vm1").datastore();
        assertThat(world.names(here)).containsExactly("vm1.raw");
        assertThat(world.names(here.equals("fast") ? "slow" : "fast")).isEmpty();
        assertThat(world.names("journal")).noneMatch(name -> name.endsWith(".map") || name.endsWith(".live"));
    }
}
