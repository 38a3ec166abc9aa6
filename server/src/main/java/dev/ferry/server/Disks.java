package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.Names;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.MigrationEngine;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.server.api.AttachAnswer;
import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.LayerView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.bitmaps.Bitmaps;
import dev.ferry.server.inventory.AttachmentRow;
import dev.ferry.server.inventory.DiskRow;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The disks that this daemon knows: removing, attaching, letting go. Any thread; each disk is changed by one request at a
 * time, and one that comes meanwhile is refused.
 */
final class Disks {
    private static final Logger LOG = LoggerFactory.getLogger(Disks.class);
    private static final long LETTING_GO_NANOS_MAX = 5_000_000_000L;
    private static final long LETTING_GO_POLL_NANOS = 1_000_000;

    private final Inventory inventory;
    private final Datastores datastores;
    private final InventoryCatalog catalog;
    private final Stacks stacks;
    private final Exports exports;
    private final MigrationEngine engine;
    private final Bitmaps bitmaps;
    private final ChainJobs jobs;
    private final Chains chains;
    private final Removals removals;
    private final Set<String> busy = ConcurrentHashMap.newKeySet();
    private final Map<String, Attached> attached = new ConcurrentHashMap<>();
    private final Map<String, String> unavailable = new ConcurrentHashMap<>();

    /** A disk that clients may have. */
    private record Attached(OpenDisk disk, NbdUri uri) {}

    Disks(
            Inventory inventory,
            Datastores datastores,
            InventoryCatalog catalog,
            Stacks stacks,
            Exports exports,
            MigrationEngine engine,
            Bitmaps bitmaps,
            ChainJobs jobs,
            Chains chains,
            Removals removals) {
        this.inventory = inventory;
        this.datastores = datastores;
        this.catalog = catalog;
        this.stacks = stacks;
        this.exports = exports;
        this.engine = engine;
        this.bitmaps = bitmaps;
        this.jobs = jobs;
        this.chains = chains;
        this.removals = removals;
    }

    // ---- looking

    List<DiskView> list() {
        return inventory.disks().stream().map(this::view).toList();
    }

    DiskView show(String name) throws ProblemException, BlockException {
        return view(row(name), chains.layers(catalog.disk(name).spec()));
    }

    private DiskRow row(String name) throws ProblemException {
        return inventory
                .disk(name)
                .orElseThrow(() ->
                        Problems.notFound("there is no disk " + name + "; 'ferry disk ls' lists those that there are"));
    }

    /** As it is now. */
    DiskView view(DiskRow row) {
        return view(row, null);
    }

    private DiskView view(DiskRow row, @Nullable List<LayerView> chain) {
        Attached open = attached.get(row.name());
        String problem = unavailable.get(row.name());
        String state = "detached";
        if (engine.moving(row.name())) {
            state = "moving";
        } else if (open != null) {
            state = "attached";
        } else if (problem != null) {
            state = "unavailable";
        }
        return new DiskView(
                row.name(),
                row.datastore(),
                row.format(),
                row.provisioning(),
                row.sizeBytes(),
                allocatedBytes(row),
                state,
                row.path(),
                open == null ? null : open.uri().toString(),
                problem,
                chain);
    }

    private static long allocatedBytes(DiskRow row) {
        try {
            return Stacks.allocatedBytes(Path.of(row.path()));
        } catch (BlockException away) {
            return -1;
        }
    }

    // ---- removing

    void refuseKnown(String name) throws ProblemException, BlockException {
        Names.checked("disk", name);
        if (inventory.disk(name).isPresent()) {
            throw Problems.conflict(
                    "there is a disk " + name + " already; choose another name, or remove that one first");
        }
    }

    void remove(String name) throws ProblemException, BlockException {
        exclusively(name, () -> {
            DiskRow row = row(name);
            if (engine.moving(name)) {
                throw Problems.conflict("disk " + name + " is being moved; wait for that, or cancel it first");
            }
            jobs.refuseIfBusy(name);
            if (inventory.attachment(name).isPresent()) {
                throw Problems.conflict("disk " + name + " is attached; 'ferry disk detach " + name + "' first");
            }
            Datastore datastore = datastores.open(row.datastore());
            removals.remove(catalog.disk(name).spec(), () -> datastore.delete(name, row.format()));
            bitmaps.forget(name);
            inventory.removeDisk(name);
            return true;
        });
    }

    // ---- attaching

    AttachAnswer attach(String name, @Nullable String tcp) throws ProblemException, BlockException {
        return exclusively(name, () -> {
            DiskRow row = row(name);
            Attached open = attached.get(name);
            if (open != null) {
                throw Problems.conflict("disk " + name + " is attached already, at " + open.uri());
            }
            if (tcp != null) {
                Exports.address(tcp);
            }
            boolean known = inventory.attachment(name).isPresent();
            Attached now = open(row, tcp);
            if (known) {
                inventory.removeAttachment(name);
            }
            inventory.add(new AttachmentRow(name, tcpOf(now.uri())));
            return new AttachAnswer(name, now.uri().toString());
        });
    }

    private static @Nullable String tcpOf(NbdUri uri) {
        return switch (uri) {
            case NbdUri.Unix _ -> null;
            case NbdUri.Tcp at -> (at.host().indexOf(':') < 0 ? at.host() : "[" + at.host() + "]") + ":" + at.port();
        };
    }

    private Attached open(DiskRow row, @Nullable String tcp) throws ProblemException, BlockException {
        jobs.beforeOpen(row.name());
        engine.beforeOpen(row.name());
        OpenDisk disk = stacks.acquire(catalog.disk(row.name()).spec());
        try {
            bitmaps.begin(disk);
            Attached now = new Attached(disk, exports.add(disk, () -> bitmaps.contexts(row.name()), tcp));
            attached.put(row.name(), now);
            unavailable.remove(row.name());
            return now;
        } catch (BlockException | ProblemException | RuntimeException failed) {
            bitmaps.end(row.name());
            stacks.release(disk);
            throw failed;
        }
    }

    /**
     * Opens what was attached when the daemon ended. A disk that cannot be opened says why, and the others go on.
     *
     * @param patient the daemon before may be a moment from letting go of the files: wait for it
     */
    void attachAgain(boolean patient) {
        long untilNanos = System.nanoTime() + (patient ? LETTING_GO_NANOS_MAX : 0);
        for (AttachmentRow row : inventory.attachments()) {
            try {
                openBy(untilNanos, row);
            } catch (ProblemException | BlockException failed) {
                String why = String.valueOf(failed.getMessage());
                unavailable.put(row.disk(), why);
                LOG.error(
                        "disk {} is not there for its clients: {}; mend that, then 'ferry disk attach {}'",
                        row.disk(),
                        why,
                        row.disk());
            }
        }
    }

    private void openBy(long untilNanos, AttachmentRow attachment) throws ProblemException, BlockException {
        while (true) {
            try {
                Attached _ = open(row(attachment.disk()), attachment.tcp());
                return;
            } catch (BlockException failed) {
                if (failed.kind() != ErrorKind.BUSY || System.nanoTime() - untilNanos > 0) {
                    throw failed;
                }
                LockSupport.parkNanos(LETTING_GO_POLL_NANOS);
            }
        }
    }

    void detach(String name) throws ProblemException, BlockException {
        exclusively(name, () -> {
            DiskRow row = row(name);
            if (inventory.attachment(name).isEmpty()) {
                throw Problems.conflict("disk " + row.name() + " is not attached");
            }
            Attached open = attached.get(name);
            if (open != null) {
                exports.remove(name);
                bitmaps.end(name);
                attached.remove(name);
            }
            unavailable.remove(name);
            inventory.removeAttachment(name);
            if (open != null) {
                stacks.release(open.disk());
            }
            return true;
        });
    }

    /**
     * Lets go of the files for another process that takes over, without making anything durable: what was written is in the
     * kernel's hands, which stay. Clients are gone.
     */
    void letGoAll() {
        attached.values().forEach(open -> {
            try {
                OnLoop.await(open.disk().loop().loop(), open.disk().front()::close);
            } catch (BlockException failed) {
                LOG.warn("disk {}: {}", open.disk().name(), failed.getMessage());
            }
        });
        attached.clear();
    }

    /** Makes what clients wrote durable and lets go of the files. Clients are gone. */
    void closeAll() {
        attached.values().forEach(open -> {
            try {
                stacks.release(open.disk());
            } catch (BlockException failed) {
                LOG.error("disk {} could not be closed: {}", open.disk().name(), failed.getMessage());
            }
        });
        attached.clear();
    }

    // ---- one at a time

    interface Work<T> {
        T run() throws ProblemException, BlockException;
    }

    /** Does something to a disk that nothing else is to be done to meanwhile. */
    <T> T exclusively(String name, Work<T> work) throws ProblemException, BlockException {
        if (!busy.add(name)) {
            throw Problems.conflict(
                    "disk " + name + " is being worked on by another command; try again when it is done");
        }
        try {
            return work.run();
        } finally {
            busy.remove(name);
        }
    }

    static ImageFormat format(String text) throws ProblemException {
        return ImageFormat.of(text)
                .orElseThrow(() -> Problems.wrongUsage("disks in format '" + text
                        + "' are not in this version of Ferry; " + ImageFormat.list() + " are"));
    }
}
