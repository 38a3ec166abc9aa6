package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.Names;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.server.api.DiskOverlay;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.inventory.DiskRow;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.Parents;
import java.nio.file.Path;

/** Makes disks that lie over files of their datastore, which are nobody's disk themselves. Any thread. */
final class OverlayMaker {
    private final Inventory inventory;
    private final Datastores datastores;
    private final InventoryCatalog catalog;
    private final DataPlane plane;
    private final ChainJobs jobs;

    OverlayMaker(
            Inventory inventory, Datastores datastores, InventoryCatalog catalog, DataPlane plane, ChainJobs jobs) {
        this.inventory = inventory;
        this.datastores = datastores;
        this.catalog = catalog;
        this.plane = plane;
        this.jobs = jobs;
    }

    /** @return the disk's name */
    String make(DiskOverlay request) throws ProblemException, BlockException {
        String name = Names.checked("disk", request.name());
        if (inventory.disk(name).isPresent()) {
            throw Problems.conflict(
                    "there is a disk " + name + " already; choose another name, or remove that one first");
        }
        ImageFormat below = Disks.format(request.backingFormat());
        ImageFormat wanted = request.format() == null ? ImageFormat.QCOW2 : Disks.format(request.format());
        if (wanted != ImageFormat.QCOW2 && (wanted != below || !Parents.deltasIn(wanted))) {
            throw Problems.wrongUsage("over a file in format " + below.text() + " lies a disk in format qcow2"
                    + (Parents.deltasIn(below) ? " or " + below.text() : "") + ", and not " + wanted.text());
        }
        Qcow2Shape shape = DiskMaker.shape(wanted, request.shape());
        Datastore datastore = datastores.open(request.datastore());
        Path base = datastore.directory().resolve(request.backing()).normalize();
        if (!base.startsWith(datastore.directory())) {
            throw Problems.wrongUsage(request.backing() + " is not in the folder of datastore " + datastore.name()
                    + ", where it has to be");
        }
        refuseUnlessAtRest(base);
        DiskLoop loop = plane.loops().getFirst();
        DiskSpec file = new DiskSpec(request.backing(), base, Provisioning.THIN, true, false, below);
        String named = datastore.directory().relativize(base).toString();
        NewDisk made = datastore.create(name, wanted.text(), 0);
        try {
            DiskSpec spec = new DiskSpec("new disk", made.partial(), Provisioning.THIN, false, false, wanted);
            long sizeBytes = wanted == ImageFormat.QCOW2
                    ? overlay(loop, spec, file, shape, request.sizeBytes(), named)
                    : delta(loop, spec, request.sizeBytes(), named);
            Chain _ = Chain.of(loop, spec, DataPlane.FILES);
            made.publish();
            inventory.add(new DiskRow(
                    name,
                    datastore.name(),
                    wanted.text(),
                    Provisioning.THIN.text(),
                    sizeBytes,
                    made.file().toString()));
        } catch (BlockException | ProblemException | RuntimeException failed) {
            made.discard();
            throw failed;
        }
        return name;
    }

    private static long overlay(
            DiskLoop loop, DiskSpec spec, DiskSpec file, Qcow2Shape shape, long wantedBytes, String named)
            throws ProblemException, BlockException {
        long sizeBytes = wantedBytes == 0 ? Images.sizeBytes(loop, file, DataPlane.FILES) : wantedBytes;
        if (sizeBytes <= 0 || sizeBytes % 512 != 0) {
            throw Problems.wrongUsage("a qcow2 disk has a multiple of 512 bytes, not " + sizeBytes);
        }
        DiskMaker.refuseIfTooLarge(spec.format(), shape, sizeBytes);
        Qcow2Options over = shape.options().withBacking(named, file.format().qemuText());
        Images.format(loop, spec, DataPlane.FILES, sizeBytes, over);
        return sizeBytes;
    }

    private static long delta(DiskLoop loop, DiskSpec spec, long wantedBytes, String named)
            throws ProblemException, BlockException {
        Parents.Parent parent = Parents.parent(loop, spec, DataPlane.FILES, named);
        if (wantedBytes != 0 && wantedBytes != parent.sizeBytes()) {
            throw Problems.wrongUsage("a delta has the size of its parent, " + parent.sizeBytes() + " bytes");
        }
        Parents.delta(loop, spec, DataPlane.FILES, parent);
        return parent.sizeBytes();
    }

    /** What a disk lies over must not change. */
    private void refuseUnlessAtRest(Path base) throws ProblemException {
        String whose = catalog.owner(base);
        if (whose != null) {
            throw Problems.conflict(
                    base + " is disk " + whose + ", which may change; lay it over a file that is no disk");
        }
        boolean changes = jobs.list().stream()
                .anyMatch(job -> !job.over() && base.toString().equals(job.base()));
        if (changes) {
            throw Problems.conflict(base + " is being committed into");
        }
    }
}
