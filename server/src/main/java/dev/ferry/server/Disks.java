package dev.ferry.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.Names;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioner;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.MigrationEngine;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.server.api.AttachAnswer;
import dev.ferry.server.api.DiskCreate;
import dev.ferry.server.api.DiskImport;
import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.LayerView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.bitmaps.Bitmaps;
import dev.ferry.server.inventory.AttachmentRow;
import dev.ferry.server.inventory.DiskRow;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The disks that this daemon knows: making, removing, attaching. Any thread; each disk is changed by one request at a
 * time, and one that comes meanwhile is refused.
 */
final class Disks {
    private static final Logger LOG = LoggerFactory.getLogger(Disks.class);
    /** What every guest can address: sectors of this size. */
    private static final int SECTOR_BYTES = 512;

    /** The word by which a client asks that the content decide. */
    private static final String PROBE = "auto";

    private static final long SIZE_BYTES_MAX = 1L << 46;
    private static final long LETTING_GO_NANOS_MAX = 5_000_000_000L;
    private static final long LETTING_GO_POLL_NANOS = 1_000_000;

    private final Inventory inventory;
    private final Datastores datastores;
    private final InventoryCatalog catalog;
    private final DataPlane plane;
    private final Stacks stacks;
    private final Exports exports;
    private final MigrationEngine engine;
    private final Bitmaps bitmaps;
    private final ChainJobs jobs;
    private final Chains chains;
    private final Imports imports;
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
            DataPlane plane,
            Stacks stacks,
            Exports exports,
            MigrationEngine engine,
            Bitmaps bitmaps,
            ChainJobs jobs,
            Chains chains,
            Imports imports,
            Removals removals) {
        this.inventory = inventory;
        this.datastores = datastores;
        this.catalog = catalog;
        this.plane = plane;
        this.stacks = stacks;
        this.exports = exports;
        this.engine = engine;
        this.bitmaps = bitmaps;
        this.jobs = jobs;
        this.chains = chains;
        this.imports = imports;
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

    private DiskView view(DiskRow row) {
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

    // ---- making and removing

    DiskView create(DiskCreate request) throws ProblemException, BlockException {
        Provisioning provisioning = provisioning(request.provisioning());
        ImageFormat format = format(request.format());
        if (request.sizeBytes() <= 0 || request.sizeBytes() > SIZE_BYTES_MAX) {
            throw Problems.wrongUsage("a disk has a size from 512 bytes to 64T, not " + request.sizeBytes() + " bytes");
        }
        if (request.sizeBytes() % SECTOR_BYTES != 0) {
            throw Problems.wrongUsage("a disk's size is a multiple of 512 bytes, " + request.sizeBytes()
                    + " is not; the next is " + (request.sizeBytes() / SECTOR_BYTES + 1) * SECTOR_BYTES);
        }
        return exclusively(request.name(), () -> {
            refuseKnown(request.name());
            Datastore datastore = datastores.open(request.datastore());
            return make(request.name(), datastore, format, provisioning, request.sizeBytes(), null);
        });
    }

    /** What a new disk is filled with, on the first loop, and who is told how far that is. */
    private record Filling(BlockDevice source, Imports.Progress progress) {}

    private static FileOpener files(@Nullable Map<String, String> devices) {
        if (devices == null) {
            return DataPlane.FILES;
        }
        Map<String, Path> paths = new HashMap<>();
        devices.forEach((map, device) -> paths.put(map, Path.of(device)));
        return FileOpener.mapping(DataPlane.FILES, paths);
    }

    DiskView importFile(DiskImport request) throws ProblemException, BlockException {
        try (Imports.Progress progress = imports.begin(request.name())) {
            return importFile(request, progress);
        }
    }

    private DiskView importFile(DiskImport request, Imports.Progress progress) throws ProblemException, BlockException {
        Provisioning provisioning = provisioning(request.provisioning());
        return exclusively(request.name(), () -> {
            refuseKnown(request.name());
            Datastore datastore = datastores.open(request.datastore());
            DiskLoop loop = plane.loops().getFirst();
            DiskSpec bare = new DiskSpec(request.name(), Path.of(request.from()), Provisioning.THIN, true, false);
            ImageFormat format = request.format().equals(PROBE)
                    ? Images.probe(loop, bare, DataPlane.FILES)
                    : ImageFormat.of(request.format())
                            .orElseThrow(() -> Problems.wrongUsage("there is no format '" + request.format()
                                    + "' in this version of Ferry; there are " + ImageFormat.list()));
            BlockDevice source = Images.open(loop, bare.in(format), files(request.devices()));
            try {
                long sizeBytes = source.geometry().sizeBytes();
                if (sizeBytes == 0) {
                    throw Problems.wrongUsage(request.from() + " is empty; a disk has at least one byte");
                }
                ImageFormat kept = format == ImageFormat.QCOW2 ? format : ImageFormat.RAW;
                progress.copying(sizeBytes);
                return make(request.name(), datastore, kept, provisioning, sizeBytes, new Filling(source, progress));
            } finally {
                OnLoop.await(loop.loop(), source::close);
            }
        });
    }

    /** Makes a raw disk of what a device holds, which is on the first loop. */
    DiskView importDevice(
            String name, String datastoreName, String provisioning, BlockDevice source, Imports.Progress progress)
            throws ProblemException, BlockException {
        Provisioning how = provisioning(provisioning);
        return exclusively(name, () -> {
            refuseKnown(name);
            Datastore datastore = datastores.open(datastoreName);
            Filling filling = new Filling(source, progress);
            return make(name, datastore, ImageFormat.RAW, how, source.geometry().sizeBytes(), filling);
        });
    }

    void refuseKnown(String name) throws ProblemException, BlockException {
        Names.checked("disk", name);
        if (inventory.disk(name).isPresent()) {
            throw Problems.conflict(
                    "there is a disk " + name + " already; choose another name, or remove that one first");
        }
    }

    /** @param source null: it is filled with nothing */
    private DiskView make(
            String name,
            Datastore datastore,
            ImageFormat format,
            Provisioning provisioning,
            long sizeBytes,
            @Nullable Filling source)
            throws BlockException {
        if (provisioning != Provisioning.THIN && datastore.spaceFor(sizeBytes).freeBytes() < sizeBytes) {
            throw BlockError.of(
                            ErrorKind.NO_SPACE,
                            "datastore " + datastore.name(),
                            "create disk " + name,
                            sizeBytes + " bytes are needed and "
                                    + datastore.space().freeBytes()
                                    + " are free; choose thin provisioning or another datastore")
                    .toException();
        }
        NewDisk made = datastore.create(name, format.text(), format.grows() ? 0 : sizeBytes);
        try {
            fill(
                    new DiskSpec("new disk", made.partial(), provisioning, false, false, format, sizeBytes),
                    sizeBytes,
                    source);
            made.publish();
            DiskRow row = new DiskRow(
                    name,
                    datastore.name(),
                    format.text(),
                    provisioning.text(),
                    sizeBytes,
                    made.file().toString());
            inventory.add(row);
            return view(row);
        } catch (BlockException | RuntimeException failed) {
            made.discard();
            throw failed;
        }
    }

    private void fill(DiskSpec spec, long sizeBytes, @Nullable Filling source) throws BlockException {
        DiskLoop loop = plane.loops().getFirst();
        Images.format(loop, spec, DataPlane.FILES, sizeBytes);
        if (spec.provisioning() == Provisioning.THIN && source == null) {
            return;
        }
        BlockDevice device = Images.open(loop, spec, DataPlane.FILES);
        try {
            OnLoop.await(loop.loop(), done -> new Provisioner(loop.loop(), device, spec.provisioning(), done).start());
            if (source != null) {
                Transfer transfer = new Transfer(loop.loop(), source.source(), device, true);
                source.progress().disk(transfer::doneBytes);
                transfer.run();
                source.progress().diskDone(sizeBytes);
            }
        } finally {
            OnLoop.await(loop.loop(), device::close);
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

    private static Provisioning provisioning(String text) throws ProblemException {
        return Provisioning.of(text)
                .orElseThrow(() -> Problems.wrongUsage(
                        "there is no provisioning called '" + text + "'; choose thin, lazy or eager"));
    }

    static ImageFormat format(String text) throws ProblemException {
        return ImageFormat.of(text)
                .orElseThrow(() -> Problems.wrongUsage("disks in format '" + text
                        + "' are not in this version of Ferry; " + ImageFormat.list() + " are"));
    }
}
