package dev.ferry.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.ovf.OvfDescriptor;
import dev.ferry.server.api.ApplianceImport;
import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.Appliance;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Makes disks of appliances: all that were asked for, or none. Any thread; calls block. */
final class Appliances {
    private static final Logger LOG = LoggerFactory.getLogger(Appliances.class);

    private final Disks disks;
    private final DiskMaker maker;
    private final DataPlane plane;
    private final Imports imports;

    Appliances(Disks disks, DiskMaker maker, DataPlane plane, Imports imports) {
        this.disks = disks;
        this.maker = maker;
        this.plane = plane;
        this.imports = imports;
    }

    List<DiskView> importDisks(ApplianceImport request) throws ProblemException, BlockException {
        try (Imports.Progress progress = imports.begin(request.name())) {
            return importDisks(request, progress);
        }
    }

    private List<DiskView> importDisks(ApplianceImport request, Imports.Progress progress)
            throws ProblemException, BlockException {
        ImageFormat format = request.format() == null ? ImageFormat.RAW : Disks.format(request.format());
        DiskMaker.Making how = DiskMaker.Making.of(format, request.provisioning(), request.shape());
        DiskLoop loop = plane.loops().getFirst();
        Path path = Path.of(request.from());
        if (!Appliance.isOne(path)) {
            throw Problems.wrongUsage(request.from() + " is no appliance: those end in .ova or .ovf");
        }
        Appliance appliance = Appliance.open(loop, path, DataPlane.FILES, progress::verified);
        List<OvfDescriptor.Disk> wanted = wanted(request, appliance.disks());
        List<String> names = new ArrayList<>();
        for (int i = 1; i <= wanted.size(); i++) {
            String name = wanted.size() == 1 ? request.name() : request.name() + "-" + i;
            disks.refuseKnown(name);
            names.add(name);
        }
        long total = 0;
        for (OvfDescriptor.Disk disk : wanted) {
            BlockDevice source = appliance.open(disk);
            total += source.geometry().sizeBytes();
            OnLoop.await(loop.loop(), source::close);
        }
        progress.copying(total);
        List<DiskView> made = new ArrayList<>();
        try {
            for (int i = 0; i < names.size(); i++) {
                made.add(importDisk(request, how, names.get(i), loop, appliance, wanted.get(i), progress));
            }
        } catch (ProblemException | BlockException | RuntimeException failed) {
            made.forEach(this::undo);
            throw failed;
        }
        return made;
    }

    private DiskView importDisk(
            ApplianceImport request,
            DiskMaker.Making how,
            String name,
            DiskLoop loop,
            Appliance appliance,
            OvfDescriptor.Disk disk,
            Imports.Progress progress)
            throws ProblemException, BlockException {
        BlockDevice source = appliance.open(disk);
        try {
            return maker.importDevice(name, request.datastore(), how, source, progress);
        } finally {
            OnLoop.await(loop.loop(), source::close);
        }
    }

    private static List<OvfDescriptor.Disk> wanted(ApplianceImport request, List<OvfDescriptor.Disk> all)
            throws ProblemException {
        Integer number = request.disk();
        if (number == null) {
            return all;
        }
        if (number < 1 || number > all.size()) {
            throw Problems.wrongUsage("the appliance has " + all.size() + " disks, and no disk " + number);
        }
        return List.of(all.get(number - 1));
    }

    private void undo(DiskView view) {
        try {
            disks.remove(view.name());
        } catch (ProblemException | BlockException failed) {
            LOG.warn("disk {} of an import that failed is still there: {}", view.name(), failed.getMessage());
        }
    }
}
