package dev.ferry.stack;

import dev.ferry.block.BlockException;
import dev.ferry.image.vmdk.VmdkNames;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The files that hold a disk besides the one that it is named by: extents of a VMDK, the data file of a qcow2 image. They belong to
 * the disk, as what it lies over does not. Thread: the control plane; calls block.
 */
public final class DiskParts {
    private DiskParts() {}

    /** The names as they stand in the disk's own file, claims; opens nothing but that. */
    static List<String> named(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return switch (spec.format()) {
            case RAW, VHD, VHDX -> List.of();
            case QCOW2 -> {
                String data = Images.describe(loop, spec, opener).dataFileName();
                yield data == null ? List.of() : List.of(data);
            }
            case VMDK -> Images.with(loop, spec.cached().asReadOnly(), opener, VmdkNames::parts);
        };
    }

    /**
     * Where they lie, by those names.
     *
     * @throws BlockException if one is not where it may be, or part of the disk is in no file
     */
    static Map<String, Path> byName(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        Map<String, Path> found = new TreeMap<>();
        for (String name : named(loop, spec, opener)) {
            found.put(name, DataFiles.beside(spec, name));
        }
        return found;
    }

    /** The files, as far as all of them are where they may be; none if they are not. */
    static List<Path> seen(DiskLoop loop, DiskSpec spec, FileOpener opener) {
        try {
            return of(loop, spec, opener);
        } catch (BlockException unseen) {
            return List.of();
        }
    }

    /** The files, each once; the disk's own is not among them. */
    public static List<Path> of(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return new ArrayList<>(
                byName(loop, spec, opener).values().stream().distinct().sorted().toList());
    }
}
