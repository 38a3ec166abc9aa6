package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.MigrationPlan.BasePlan;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The files below the disks of a move that takes them along, each once, and whether it can. Changes nothing. Thread: any, one at a
 * time; calls block.
 */
final class BasePlanner {
    private final Catalog catalog;
    private final Map<Path, BasePlan> bases = new LinkedHashMap<>();

    BasePlanner(Catalog catalog) {
        this.catalog = catalog;
    }

    /** All that lie below the disks that were added, what lies below first. */
    List<BasePlan> all() {
        return List.copyOf(bases.values());
    }

    /**
     * Adds what lies below a disk.
     *
     * @param chain its files
     * @return the file just below it; null if there is none
     * @throws BlockException if the disk cannot be moved with what is below it
     */
    @Nullable
    Path add(DiskSpec disk, Chain chain, MigrationRequest request) throws BlockException {
        if (chain.depth() == 0) {
            return null;
        }
        refuse(disk, request);
        for (int i = chain.depth(); i > 0; i--) {
            Chain.Layer layer = chain.layers().get(i);
            ImageFormat format = layer.spec().format();
            for (Path part : layer.parts()) {
                add(disk, part, format, null, layer.path());
            }
            Path below = i == chain.depth() ? null : chain.layers().get(i + 1).path();
            add(disk, layer.path(), format, below, null);
        }
        return chain.layers().get(1).path();
    }

    private static void refuse(DiskSpec disk, MigrationRequest request) throws BlockException {
        ImageFormat format = request.format();
        if (format != null && format != ImageFormat.QCOW2 && format != disk.format()) {
            throw contradiction(
                    disk,
                    "a disk in format " + format.text() + " lies over no backing file"
                            + (format == ImageFormat.RAW ? "" : " in another format") + "; leave out --format, or"
                            + " --with-snapshots to have the chain flattened");
        }
        Provisioning provisioning = request.provisioning() == null ? disk.provisioning() : request.provisioning();
        if (provisioning != Provisioning.THIN) {
            throw contradiction(
                    disk,
                    "one that is " + provisioning.text()
                            + " has room of its own everywhere, and lies over nothing; leave"
                            + " out --with-snapshots, or make it thin");
        }
        if (request.strategy().strategy() == Strategy.SNAPSHOT) {
            throw contradiction(
                    disk,
                    "--mode snapshot merges its overlays into the disk's own file and does not move a chain; use mirror or"
                            + " tracking");
        }
    }

    private void add(DiskSpec disk, Path file, ImageFormat format, @Nullable Path below, @Nullable Path partOf)
            throws BlockException {
        if (catalog.isDisk(file)) {
            throw refusal(disk, file + " below it is a disk itself, which may change");
        }
        BasePlan known = bases.get(file);
        if (known == null) {
            bases.put(file, plan(disk, file, format, below, partOf));
            return;
        }
        boolean both = (known.partOf() == null) != (partOf == null);
        if (both || !known.format().equals(format.text())) {
            throw refusal(
                    disk,
                    file + " is " + (partOf == null ? "" : "part of ") + format.text() + " below it and "
                            + (known.partOf() == null ? "" : "part of ") + known.format() + " below "
                            + known.disks().getFirst());
        }
        List<String> disks = new ArrayList<>(known.disks());
        if (!disks.contains(disk.name())) {
            disks.add(disk.name());
        }
        bases.put(file, known.below(disks));
    }

    private static BasePlan plan(
            DiskSpec disk, Path file, ImageFormat format, @Nullable Path below, @Nullable Path partOf)
            throws BlockException {
        return new BasePlan(
                file,
                DiskFiles.identityOf(file),
                modifiedNanos(file),
                format.text(),
                length(file),
                Stacks.allocatedBytes(file),
                below,
                partOf,
                List.of(disk.name()));
    }

    static long length(Path file) throws BlockException {
        try {
            return Files.size(file);
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    static long modifiedNanos(Path file) throws BlockException {
        try {
            return Files.getLastModifiedTime(file).to(TimeUnit.NANOSECONDS);
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static BlockException unreadable(Path file, IOException why) {
        return Planner.refusal(ErrorKind.IO, file.toString(), "it cannot be looked at: " + why.getMessage());
    }

    private static BlockException refusal(DiskSpec disk, String why) {
        return Planner.refusal(ErrorKind.INVALID, "disk " + disk.name(), why);
    }

    /** What was asked for does not go together. */
    private static BlockException contradiction(DiskSpec disk, String why) {
        return Planner.refusal(ErrorKind.UNSUPPORTED, "disk " + disk.name(), why);
    }
}
