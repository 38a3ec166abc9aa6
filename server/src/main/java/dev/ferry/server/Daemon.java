package dev.ferry.server;

import dev.ferry.migration.MigrationEngine;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.server.api.DaemonView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.server.bitmaps.Bitmaps;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.server.rest.RestServer;
import dev.ferry.server.supervise.Keeper;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A daemon, from start to end. Started and stopped once, by one thread each.
 *
 * <p><b>Start</b>: all that needs nobody's leave comes first (threads, libraries); then the data directory is taken, which
 * a daemon that takes over waits for; then the inventory is opened, the disks of interrupted migrations are guarded,
 * disks are attached again, and only then are clients and commands let in, and migrations go on.
 *
 * <p><b>End</b>: clients are sent away when their requests are answered, disks are made durable and closed. When it hands
 * over to another daemon it makes nothing durable, as nothing is lost with a process that the kernel outlives, and lets go
 * of the directory as soon as the last request has ended: the time from there to the first request that the next one
 * takes is what guests wait.
 */
public final class Daemon implements Routes.Self {
    private static final Logger LOG = LoggerFactory.getLogger(Daemon.class);
    private static final Duration SUSPEND_LIMIT = Duration.ofSeconds(5);
    private static final long RESTART_NANOS_MAX = TimeUnit.SECONDS.toNanos(60);

    private final DaemonSettings settings;
    private final Keeper keeper;
    private final DataPlane plane;
    private final DataDirectory.Hold hold;
    private final Inventory inventory;
    private final Exports exports;
    private final Bitmaps bitmaps;
    private final Disks disks;
    private final MigrationEngine engine;
    private final ChainJobs jobs;
    private final RestServer rest;
    private final String startedAt =
            Instant.now().truncatedTo(ChronoUnit.MILLIS).toString();
    private final double outageMillis;
    private volatile long restartAskedNanos;

    /**
     * Starts a daemon; when this returns it serves.
     *
     * @throws IOException with one line for people: the directory is taken, the inventory is damaged, and so on
     */
    public static Daemon start(DaemonSettings settings, Keeper keeper) throws IOException {
        settings.data().make();
        // What SQLite unpacks for itself is not to be left where other users could put something in its place.
        System.setProperty("org.sqlite.tmpdir", settings.data().scratch().toString());
        return new Daemon(settings, keeper);
    }

    private Daemon(DaemonSettings settings, Keeper keeper) throws IOException {
        DataDirectory data = settings.data();
        this.settings = settings;
        this.keeper = keeper;
        if (keeper.standby()) {
            Rehearsal.run(data);
        }
        plane = startPlane(settings);
        if (keeper.standby()) {
            keeper.standingBy();
        }
        hold = data.hold("daemon", keeper.standby());
        inventory = Inventory.open(data.inventory());
        Datastores datastores = new Datastores(inventory);
        InventoryCatalog catalog = new InventoryCatalog(inventory, datastores, settings.direct());
        Stacks stacks = new Stacks(plane.loops(), DataPlane.FILES);
        exports = new Exports(data.nbdSocket(), plane.listening(), keeper);
        engine = MigrationEngine.open(
                data.journal(),
                stacks,
                catalog,
                InstantSource.system(),
                Thread.ofPlatform().daemon().name("ferry-move-", 0).factory());
        for (MigrationStatus status : engine.recover()) {
            LOG.info(
                    "migration {} was under way when the daemon ended; {}",
                    status.id(),
                    status.state().over() ? "it is " + status.state().text() + " now" : "it goes on");
        }
        bitmaps = new Bitmaps(data.bitmaps());
        jobs = new ChainJobs(
                data.chains(),
                stacks,
                plane.loops().getFirst(),
                DataPlane.FILES,
                catalog,
                engine::beforeOpen,
                catalog::owner,
                Thread.ofPlatform().daemon().name("ferry-chain-", 0).factory());
        jobs.recover();
        Chains chains = new Chains(jobs, engine, plane);
        Removals removals = new Removals(data.removals(), stacks, catalog::isDisk);
        removals.recover();
        OverlayMaker overlays = new OverlayMaker(inventory, datastores, catalog, plane, jobs);
        Imports imports = new Imports();
        disks = new Disks(inventory, datastores, catalog, stacks, exports, engine, bitmaps, jobs, chains, removals);
        DiskMaker maker = new DiskMaker(inventory, datastores, plane, disks, imports);
        Moves moves = new Moves(engine, chains);
        disks.attachAgain(keeper.standby());
        exports.listen();
        engine.goOn();
        jobs.goOn();
        // A store that does not answer must not hold the daemon up.
        Thread.ofPlatform().daemon().name("ferry-sweep").start(datastores::sweep);
        outageMillis = Handover.outageMillis(data.handover());
        rest = new RestServer(
                data.restSocket(),
                Routes.of(
                        this,
                        datastores,
                        disks,
                        maker,
                        new Appliances(disks, maker, plane, imports),
                        imports,
                        new BitmapCommands(disks, bitmaps),
                        moves,
                        engine,
                        chains,
                        jobs,
                        overlays));
        rest.start();
        keeper.ready();
        LOG.info(
                "serving {} with {} threads on {}{}",
                data.path(),
                plane.loops().size(),
                plane.report(),
                outageMillis < 0
                        ? ""
                        : String.format(Locale.ROOT, "; guests waited %.1f ms for the restart", outageMillis));
    }

    private static DataPlane startPlane(DaemonSettings settings) throws IOException {
        try {
            return DataPlane.start(settings.threads(), settings.loop(), settings.tableBytes());
        } catch (UnsupportedOperationException refused) {
            throw new IOException(refused.getMessage() + "; use --loop auto", refused);
        }
    }

    // ---- for clients

    @Override
    public DaemonView view() {
        return new DaemonView(
                version(),
                ProcessHandle.current().pid(),
                settings.data().path().toString(),
                plane.report(),
                plane.loops().size(),
                keeper.kind().name().toLowerCase(Locale.ROOT),
                startedAt,
                outageMillis);
    }

    /** The version of Ferry that this is. */
    public static String version() {
        @Nullable String version = Daemon.class.getPackage().getImplementationVersion();
        return version == null ? "0.1.0" : version;
    }

    @Override
    public void restart() throws ProblemException {
        if (keeper.kind() != Keeper.Kind.FERRY) {
            throw new ProblemException(
                    ProblemKind.CONFLICT,
                    keeper.kind() == Keeper.Kind.SYSTEMD
                            ? "this daemon belongs to systemd; restart it with systemctl"
                            : "this daemon has no supervisor that could start another; stop it, and start it again");
        }
        try {
            restartAskedNanos = System.nanoTime();
            keeper.requestRestart();
        } catch (IOException failed) {
            throw new ProblemException(
                    ProblemKind.FAILED, "the supervisor does not hear: " + failed.getMessage(), failed);
        }
    }

    /** Asks to be replaced, as {@code ferry restart} does. For whoever cannot be told why not: the log is. */
    public void renew() {
        try {
            restart();
        } catch (ProblemException refused) {
            LOG.warn("no restart: {}", refused.line());
        }
    }

    // ---- the end

    /** Stops, or hands over if a restart was asked for a moment ago. The process is to end after it. */
    public void stop() {
        long askedNanos = restartAskedNanos;
        if (askedNanos != 0 && System.nanoTime() - askedNanos < RESTART_NANOS_MAX) {
            handOver();
        } else {
            end();
        }
    }

    private void handOver() {
        try {
            Handover.leave(settings.data().handover());
            exports.shutdown();
            bitmaps.endAll(false);
            engine.suspend(SUSPEND_LIMIT);
            jobs.suspend(SUSPEND_LIMIT);
            if (engine.isIdle() && jobs.isIdle()) {
                disks.letGoAll();
                hold.close();
            }
            // With a move that has not stopped the lock goes with the process: its thread may be in the middle of a
            // step.
        } catch (IOException | ProblemException failed) {
            LOG.error("the hand-over was not clean: {}", failed.getMessage());
        }
    }

    private void end() {
        try {
            keeper.stopping();
            Files.deleteIfExists(settings.data().restSocket());
            rest.close();
            exports.shutdown();
            bitmaps.endAll(true);
            engine.suspend(SUSPEND_LIMIT);
            jobs.suspend(SUSPEND_LIMIT);
            if (engine.isIdle() && jobs.isIdle()) {
                disks.closeAll();
            }
            inventory.close();
            hold.close();
        } catch (IOException | ProblemException failed) {
            LOG.error("the end was not clean: {}", failed.getMessage());
        } finally {
            plane.close();
            keeper.close();
        }
    }
}
