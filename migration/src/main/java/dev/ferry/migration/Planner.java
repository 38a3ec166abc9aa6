package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.Space;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.Catalog.CatalogDisk;
import dev.ferry.migration.MigrationPlan.BasePlan;
import dev.ferry.migration.MigrationPlan.DiskPlan;
import dev.ferry.migration.rehearsal.Outlook;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Overlays;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The checks that a move begins with; they change nothing. Thread: any; calls block.
 */
final class Planner {
    private final Catalog catalog;
    private final Stacks stacks;

    Planner(Catalog catalog, Stacks stacks) {
        this.catalog = catalog;
        this.stacks = stacks;
    }

    /** @param promisedBytes room at the target that other moves have still to fill */
    MigrationPlan plan(MigrationRequest request, long promisedBytes) throws BlockException {
        if (request.disks().isEmpty()) {
            throw refusal(ErrorKind.INVALID, "the request", "it names no disk");
        }
        if (request.withSnapshots() && request.shape() != null) {
            throw refusal(
                    ErrorKind.INVALID, "the request", "disks that take along what they lie over keep their shape");
        }
        if (request.rateBytesPerSecond() < 0) {
            throw refusal(ErrorKind.INVALID, "the request", "a rate is not below zero");
        }
        Datastore target = catalog.datastore(request.targetDatastore());
        target.check();
        List<DiskPlan> disks = new ArrayList<>();
        Set<String> names = new HashSet<>();
        long neededBytes = 0;
        BasePlanner bases = new BasePlanner(catalog);
        for (String name : request.disks()) {
            if (!names.add(name)) {
                throw refusal(ErrorKind.INVALID, "disk " + name, "it is named twice");
            }
            DiskPlan disk = plan(name, target, request, bases);
            neededBytes += disk.neededBytes();
            disks.add(disk);
        }
        neededBytes += bases.all().stream().mapToLong(BasePlan::allocatedBytes).sum();
        long freeBytes =
                Math.max(0, target.spaceFor(neededBytes + promisedBytes).freeBytes() - promisedBytes);
        refuseWithoutRoom(target, neededBytes, freeBytes, promisedBytes);
        return new MigrationPlan(
                disks, target.name(), neededBytes, freeBytes, request.withSnapshots() ? bases.all() : null);
    }

    private static void refuseWithoutRoom(Datastore target, long neededBytes, long freeBytes, long promisedBytes)
            throws BlockException {
        if (neededBytes > freeBytes) {
            String promised = promisedBytes > 0 ? " (" + promisedBytes + " more are promised to other moves)" : "";
            throw refusal(
                    ErrorKind.NO_SPACE,
                    "datastore " + target.name(),
                    neededBytes + " bytes are needed and " + freeBytes + " are free" + promised);
        }
    }

    /**
     * Looks whether a plan that was made a moment ago still holds, as far as other moves may have changed that: opens no file and waits
     * for nothing.
     */
    void confirm(MigrationPlan plan, long promisedBytes) throws BlockException {
        Datastore target = catalog.datastore(plan.targetDatastore());
        for (DiskPlan disk : plan.disks()) {
            CatalogDisk now = catalog.disk(disk.name());
            boolean there = now.datastore().equals(disk.sourceDatastore())
                    && now.spec().path().equals(disk.sourcePath());
            if (!there) {
                throw refusal(ErrorKind.BUSY, "disk " + disk.name(), "it has been moved a moment ago; try again");
            }
            refuseIfThere(disk.name(), disk.targetPath());
        }
        long freeBytes = Math.max(0, target.space().freeBytes() - promisedBytes);
        refuseWithoutRoom(target, plan.neededBytes(), freeBytes, promisedBytes);
    }

    private static void refuseIfThere(String disk, Path targetPath) throws BlockException {
        if (Files.exists(targetPath, LinkOption.NOFOLLOW_LINKS)) {
            throw refusal(ErrorKind.BUSY, "disk " + disk, targetPath + " exists already");
        }
    }

    /** Asks whether a disk may be moved at all. */
    @FunctionalInterface
    interface Leave {
        void check(String disk) throws BlockException;
    }

    /**
     * What is known without trying, for a rehearsal: what speaks against the move is said and not thrown, unless a disk or
     * the datastore is not there.
     */
    Outlook outlook(MigrationRequest request, long promisedBytes, Leave leave, String mover) throws BlockException {
        Datastore target = catalog.datastore(request.targetDatastore());
        List<Outlook.Disk> disks = new ArrayList<>();
        List<String> obstacles = new ArrayList<>();
        Set<String> names = new HashSet<>();
        BasePlanner bases = new BasePlanner(catalog);
        for (String name : request.disks()) {
            CatalogDisk disk = catalog.disk(name);
            try {
                if (!names.add(name)) {
                    throw refusal(ErrorKind.INVALID, "disk " + name, "it is named twice");
                }
                leave.check(name);
                disks.add(new Outlook.Disk(plan(name, target, request, bases), disk.spec()));
            } catch (BlockException e) {
                obstacles.add(e.getMessage());
            }
        }
        long neededBytes = disks.stream()
                        .mapToLong(disk -> disk.plan().neededBytes())
                        .sum()
                + bases.all().stream().mapToLong(BasePlan::allocatedBytes).sum();
        Space space = target.spaceFor(neededBytes + promisedBytes);
        return new Outlook(
                target,
                disks,
                bases.all(),
                obstacles,
                Math.max(0, space.freeBytes() - promisedBytes),
                SpaceGuard.lowBytes(space.totalBytes()),
                promisedBytes,
                request.verify(),
                request.rateBytesPerSecond(),
                mover);
    }

    private DiskPlan plan(String name, Datastore target, MigrationRequest request, BasePlanner bases)
            throws BlockException {
        CatalogDisk disk = catalog.disk(name);
        if (disk.datastore().equals(target.name())) {
            throw refusal(ErrorKind.INVALID, "disk " + name, "it is in datastore " + target.name() + " already");
        }
        Path sourcePath = disk.spec().path();
        ImageFormat format = request.format() == null ? disk.spec().format() : request.format();
        Path targetPath = target.fileOf(name, format.text());
        refuseIfThere(name, targetPath);
        long sizeBytes = sizeBytes(disk.spec());
        if (!Overlays.of(sourcePath).isEmpty() && stacks.find(name).isPresent()) {
            throw refusal(
                    ErrorKind.BUSY,
                    "disk " + name,
                    "what an earlier move left in overlays could not be merged; detach it, and attach it again");
        }
        List<String> snapshots = SnapshotRules.check(stacks, disk.spec(), request);
        Chain chain = stacks.chain(disk.spec());
        Path backing = request.withSnapshots() ? bases.add(disk.spec(), chain, request) : null;
        Provisioning from = disk.spec().provisioning();
        Provisioning to = request.provisioning() == null ? from : request.provisioning();
        return new DiskPlan(
                name,
                disk.datastore(),
                sourcePath,
                targetPath,
                format.text(),
                from,
                to,
                backing == null ? shape(disk.spec(), format, request, sizeBytes) : null,
                sizeBytes,
                TargetRoom.neededBytes(disk.spec(), chain, to, sizeBytes, backing == null, !snapshots.isEmpty()),
                backing,
                stacks.partRecords(disk.spec()),
                snapshots);
    }

    /** Of a qcow2 image that stands alone: as it was said, and where nothing was, as the disk is one already. */
    private @Nullable Qcow2Shape shape(DiskSpec disk, ImageFormat format, MigrationRequest request, long sizeBytes)
            throws BlockException {
        Qcow2Shape said = request.shape();
        if (format != ImageFormat.QCOW2) {
            if (said != null) {
                throw refusal(
                        ErrorKind.INVALID,
                        "disk " + disk.name(),
                        "cluster size, extended L2 entries, refcount bits and version are for qcow2 disks, and it becomes "
                                + format.text());
            }
            return null;
        }
        if (said == null) {
            return disk.format() == ImageFormat.QCOW2 ? Qcow2Shape.of(stacks.describe(disk)) : Qcow2Shape.USUAL;
        }
        String flaw = said.flaw(sizeBytes);
        if (flaw != null) {
            throw refusal(ErrorKind.INVALID, "disk " + disk.name(), flaw);
        }
        return said;
    }

    private long sizeBytes(DiskSpec spec) throws BlockException {
        if (spec.format() != ImageFormat.RAW) {
            return stacks.sizeBytes(spec);
        }
        try {
            return Files.size(spec.path());
        } catch (IOException e) {
            throw refusal(ErrorKind.NOT_FOUND, "disk " + spec.name(), "its file " + spec.path() + " cannot be read");
        }
    }

    static BlockException refusal(ErrorKind kind, String what, String why) {
        return BlockError.of(kind, what, "move", why).toException();
    }
}
