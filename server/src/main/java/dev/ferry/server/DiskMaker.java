package dev.ferry.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioner;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.server.api.DiskCreate;
import dev.ferry.server.api.DiskImport;
import dev.ferry.server.api.DiskShape;
import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.inventory.DiskRow;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Makes disks: empty ones, and copies of what a file or another device holds. Any thread; calls block. */
final class DiskMaker {
    /** What every guest can address: sectors of this size. */
    private static final int SECTOR_BYTES = 512;

    /** The word by which a client asks that the content decide. */
    private static final String PROBE = "auto";

    private static final long SIZE_BYTES_MAX = 1L << 46;

    private final Inventory inventory;
    private final Datastores datastores;
    private final DataPlane plane;
    private final Disks disks;
    private final Imports imports;

    DiskMaker(Inventory inventory, Datastores datastores, DataPlane plane, Disks disks, Imports imports) {
        this.inventory = inventory;
        this.datastores = datastores;
        this.plane = plane;
        this.disks = disks;
        this.imports = imports;
    }

    /** What a disk is to be, whatever is in it. */
    record Making(ImageFormat format, Provisioning provisioning, Qcow2Shape shape) {
        static Making of(ImageFormat format, String provisioning, @Nullable DiskShape shape) throws ProblemException {
            Provisioning how = Provisioning.of(provisioning)
                    .orElseThrow(() -> Problems.wrongUsage(
                            "there is no provisioning called '" + provisioning + "'; choose thin, lazy or eager"));
            return new Making(format, how, DiskMaker.shape(format, shape));
        }
    }

    /** What is filled in, on the first loop, and who is told how far that is. */
    private record Filling(BlockDevice source, Imports.Progress progress) {}

    /** The shape that was asked for; one that a format does not have, and one that cannot be, is refused. */
    static Qcow2Shape shape(ImageFormat format, @Nullable DiskShape asked) throws ProblemException {
        if (asked == null) {
            return Qcow2Shape.USUAL;
        }
        Qcow2Shape shape = new Qcow2Shape(
                asked.version(), asked.clusterBytes(), Boolean.TRUE.equals(asked.extendedL2()), asked.refcountBits());
        if (format != ImageFormat.QCOW2 && !shape.usual()) {
            throw Problems.wrongUsage(
                    "cluster size, extended L2 entries, refcount bits and version are for qcow2 disks, "
                            + "and not for " + format.text());
        }
        refuse(shape.flaw());
        return shape;
    }

    /** Refuses a disk that is too large for the clusters that it is to have. */
    static void refuseIfTooLarge(ImageFormat format, Qcow2Shape shape, long sizeBytes) throws ProblemException {
        if (format == ImageFormat.QCOW2) {
            refuse(shape.flaw(sizeBytes));
        }
    }

    private static void refuse(@Nullable String flaw) throws ProblemException {
        if (flaw != null) {
            throw Problems.wrongUsage(flaw);
        }
    }

    DiskView create(DiskCreate request) throws ProblemException, BlockException {
        Making how = Making.of(Disks.format(request.format()), request.provisioning(), request.shape());
        if (request.sizeBytes() <= 0 || request.sizeBytes() > SIZE_BYTES_MAX) {
            throw Problems.wrongUsage("a disk has a size from 512 bytes to 64T, not " + request.sizeBytes() + " bytes");
        }
        if (request.sizeBytes() % SECTOR_BYTES != 0) {
            throw Problems.wrongUsage("a disk's size is a multiple of 512 bytes, " + request.sizeBytes()
                    + " is not; the next is " + (request.sizeBytes() / SECTOR_BYTES + 1) * SECTOR_BYTES);
        }
        return disks.exclusively(request.name(), () -> {
            disks.refuseKnown(request.name());
            return make(request.name(), datastores.open(request.datastore()), how, request.sizeBytes(), null);
        });
    }

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
        // What can be refused without a look at the file.
        ImageFormat said = request.format() == null ? null : Disks.format(request.format());
        Making _ = Making.of(said == null ? ImageFormat.QCOW2 : said, request.provisioning(), request.shape());
        return disks.exclusively(request.name(), () -> {
            disks.refuseKnown(request.name());
            Datastore datastore = datastores.open(request.datastore());
            DiskLoop loop = plane.loops().getFirst();
            DiskSpec bare = new DiskSpec(request.name(), Path.of(request.from()), Provisioning.THIN, true, false);
            ImageFormat has = formatOf(loop, bare, request.fromFormat());
            ImageFormat usual = has == ImageFormat.QCOW2 ? has : ImageFormat.RAW;
            Making how = Making.of(said == null ? usual : said, request.provisioning(), request.shape());
            BlockDevice source = Images.open(loop, bare.in(has), files(request.devices()));
            try {
                long sizeBytes = source.geometry().sizeBytes();
                if (sizeBytes == 0) {
                    throw Problems.wrongUsage(request.from() + " is empty; a disk has at least one byte");
                }
                progress.copying(sizeBytes);
                return make(request.name(), datastore, how, sizeBytes, new Filling(source, progress));
            } finally {
                OnLoop.await(loop.loop(), source::close);
            }
        });
    }

    /** The format that a file is said to have; where nothing was said, raw, if that is believable. */
    private static ImageFormat formatOf(DiskLoop loop, DiskSpec file, @Nullable String said)
            throws ProblemException, BlockException {
        if (said != null && !said.equals(PROBE)) {
            return ImageFormat.of(said)
                    .orElseThrow(() -> Problems.wrongUsage("there is no format '" + said
                            + "' in this version of Ferry; there are " + ImageFormat.list()));
        }
        ImageFormat looks = Images.probe(loop, file, DataPlane.FILES);
        if (said == null && looks != ImageFormat.RAW) {
            throw Problems.wrongUsage(file.path() + " looks like " + looks.text() + ": say --from-format "
                    + looks.text() + ", or --from-format raw if it is a raw disk whose guest made it look so");
        }
        return looks;
    }

    /** Makes a disk of what a device holds, which is on the first loop. */
    DiskView importDevice(String name, String datastoreName, Making how, BlockDevice source, Imports.Progress progress)
            throws ProblemException, BlockException {
        return disks.exclusively(name, () -> {
            disks.refuseKnown(name);
            Datastore datastore = datastores.open(datastoreName);
            Filling filling = new Filling(source, progress);
            return make(name, datastore, how, source.geometry().sizeBytes(), filling);
        });
    }

    /** @param source null: it is filled with nothing */
    private DiskView make(String name, Datastore datastore, Making how, long sizeBytes, @Nullable Filling source)
            throws ProblemException, BlockException {
        ImageFormat format = how.format();
        refuseIfTooLarge(format, how.shape(), sizeBytes);
        if (how.provisioning() != Provisioning.THIN
                && datastore.spaceFor(sizeBytes).freeBytes() < sizeBytes) {
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
                    new DiskSpec("new disk", made.partial(), how.provisioning(), false, false, format, sizeBytes),
                    how.shape(),
                    sizeBytes,
                    source);
            made.publish();
            DiskRow row = new DiskRow(
                    name,
                    datastore.name(),
                    format.text(),
                    how.provisioning().text(),
                    sizeBytes,
                    made.file().toString());
            inventory.add(row);
            return disks.view(row);
        } catch (BlockException | RuntimeException failed) {
            made.discard();
            throw failed;
        }
    }

    private void fill(DiskSpec spec, Qcow2Shape shape, long sizeBytes, @Nullable Filling source) throws BlockException {
        DiskLoop loop = plane.loops().getFirst();
        Images.format(loop, spec, DataPlane.FILES, sizeBytes, shape);
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
}
