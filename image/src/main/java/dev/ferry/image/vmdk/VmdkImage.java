package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.HeldOpen;
import dev.ferry.image.sparse.JoinedExtents;
import dev.ferry.image.sparse.KnownMap;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.sparse.SparseExtent;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Puts a disk together from the file that names it, those that it names, and those of its parents. Blocking code of the
 * control plane; used once.
 *
 * <p>A parent is taken if its content ID is the one that it had when the delta was made: nobody has written to it since, and
 * it is no other disk.
 */
public final class VmdkImage {
    private static final int SECTOR_BYTES = 512;
    private static final int NOTHING_GRAIN_BYTES = 1 << 20;

    /** Disks over each other; VMware has 32 snapshots at most. */
    private static final int CHAIN_MAX = 64;

    private final OpenFile first;
    private final Loop loop;
    private final Executor workers;
    private final Neighbours neighbours;
    private final int depth;
    private final List<BlockDevice> opened = new ArrayList<>();

    private VmdkImage(OpenFile first, Loop loop, Executor workers, Neighbours neighbours, int depth) {
        this.first = first;
        this.loop = loop;
        this.workers = workers;
        this.neighbours = neighbours;
        this.depth = depth;
    }

    /** True if a file is one that a disk of this format is named by. */
    public static boolean looksLikeOne(FileBytes file) throws BlockException {
        return VmdkSparse.looksLikeOne(file) || VmdkDescriptor.looksLikeOne(file);
    }

    /** The size of the disk, as its first file says; opens no other. */
    public static long sizeBytes(FileBytes first) throws BlockException {
        if (VmdkSparse.looksLikeOne(first)) {
            return VmdkSparse.open(first).sizeBytes();
        }
        return described(first).extents().stream()
                        .mapToLong(VmdkDescriptor.Extent::sectors)
                        .sum()
                * SECTOR_BYTES;
    }

    /** What a file says of the disk that it is the first of; null for an extent of one. Opens no other. */
    public static @Nullable VmdkDescriptor descriptor(FileBytes first) throws BlockException {
        return VmdkSparse.looksLikeOne(first) ? VmdkSparse.open(first).descriptor() : described(first);
    }

    /**
     * Checks a disk: its first file, and the sparse extents that it names.
     *
     * @param neighbours opens those; whoever asked closes them
     */
    public static Census check(FileBytes first, Neighbours neighbours, Consumer<OpenFile> whenDone)
            throws BlockException {
        if (VmdkSparse.looksLikeOne(first)) {
            return VmdkSparse.open(first).check();
        }
        Census all = Census.NOTHING;
        for (VmdkDescriptor.Extent extent : described(first).extents()) {
            if (extent.kind() == VmdkDescriptor.Kind.ZERO || extent.kind() == VmdkDescriptor.Kind.RAW_DEVICE) {
                continue;
            }
            OpenFile file = neighbours.open(extent.fileName());
            try {
                long bytes = extent.sectors() * SECTOR_BYTES;
                switch (extent.kind()) {
                    case FLAT -> flat(file, extent.fromSector() * SECTOR_BYTES, bytes, false);
                    case SPARSE -> {
                        VmdkSparse sparse = VmdkSparse.open(file.bytes());
                        checkSize(first, bytes, sparse.sizeBytes());
                        all = all.and(sparse.check());
                    }
                    case VMFS_SPARSE, SE_SPARSE, RAW_DEVICE, ZERO ->
                        throw flaw(first, ErrorKind.UNSUPPORTED, "extents of its kind are read and not checked");
                }
            } finally {
                whenDone.accept(file);
            }
        }
        return all;
    }

    private static VmdkDescriptor described(FileBytes first) throws BlockException {
        if (!VmdkDescriptor.looksLikeOne(first)) {
            throw flaw(first, ErrorKind.INVALID, "it is not a VMDK file");
        }
        return VmdkDescriptor.read(first);
    }

    /**
     * The disk that a file names, with all that shows through from its parents. What it gives closes all files, the first
     * too; if it fails those that were opened here are closed, and the first is left open.
     */
    public static BlockDevice open(OpenFile first, Loop loop, Executor workers, Neighbours neighbours)
            throws BlockException {
        return new VmdkImage(first, loop, workers, neighbours, 1).open();
    }

    private BlockDevice open() throws BlockException {
        boolean single = VmdkSparse.looksLikeOne(first.bytes());
        VmdkDescriptor descriptor = descriptor(first.bytes());
        if (single && descriptor != null && descriptor.extents().size() != 1) {
            throw flaw(first.bytes(), ErrorKind.UNSUPPORTED, "it names further files besides its own");
        }
        try {
            Below parent = descriptor == null || !descriptor.delta() ? null : parent(descriptor);
            List<BlockDevice> parts = new ArrayList<>();
            if (single || descriptor == null) {
                parts.add(VmdkSparse.open(first.bytes()).device(loop, workers, first.device(), parent));
            } else {
                long from = 0;
                for (VmdkDescriptor.Extent extent : descriptor.extents()) {
                    parts.add(part(extent, parent == null ? null : new Below(parent.device(), from)));
                    from += extent.sectors() * SECTOR_BYTES;
                }
                // The text has been read; its file goes with the disk, as an extent of no size.
                parts.add(nothing(first.device()));
            }
            if (parent != null) {
                parts.add(new HeldOpen(first.bytes().name(), parent.device()));
            }
            return parts.size() == 1
                    ? parts.getFirst()
                    : new JoinedExtents(first.bytes().name(), parts);
        } catch (BlockException failed) {
            opened.forEach(device -> loop.execute(() -> device.close(closed -> {})));
            throw failed;
        }
    }

    /** A part of no size, which closes what it is on. */
    private BlockDevice nothing(BlockDevice device) {
        return new FlatExtent(first.bytes().name(), device, 0, 0);
    }

    /**
     * The parent of a delta, after it has been seen to be the one that the delta was made over. Whoever asked closes it.
     *
     * @param child the file that the descriptor is in
     */
    static BlockDevice parent(
            OpenFile child, VmdkDescriptor descriptor, Loop loop, Executor workers, Neighbours neighbours)
            throws BlockException {
        VmdkImage disk = new VmdkImage(child, loop, workers, neighbours, 1);
        try {
            return disk.parent(descriptor).device();
        } catch (BlockException failed) {
            disk.opened.forEach(device -> loop.execute(() -> device.close(closed -> {})));
            throw failed;
        }
    }

    private Below parent(VmdkDescriptor descriptor) throws BlockException {
        String name = Neighbours.lastOf(descriptor.parentHint());
        if (!Neighbours.isName(name)) {
            throw flaw(first.bytes(), ErrorKind.CORRUPT, "it is a delta disk, and does not say of which parent");
        }
        if (depth == CHAIN_MAX) {
            throw flaw(
                    first.bytes(),
                    ErrorKind.UNSUPPORTED,
                    "its chain of parents is longer than " + CHAIN_MAX + ", or a circle");
        }
        OpenFile file = neighbours.open(name);
        opened.add(file.device());
        VmdkDescriptor its = descriptor(file.bytes());
        long had = its == null ? 0 : its.contentId();
        if (its == null || had != descriptor.parentId()) {
            throw flaw(
                    first.bytes(),
                    ErrorKind.CORRUPT,
                    String.format(
                            "its parent %s has the content ID %08x, and it was made over %08x: the parent has been"
                                    + " written to since, or is another disk",
                            file.bytes().name(), had, descriptor.parentId()));
        }
        BlockDevice device = new VmdkImage(file, loop, workers, neighbours, depth + 1).open();
        opened.set(opened.size() - 1, device);
        return new Below(device, 0);
    }

    private BlockDevice part(VmdkDescriptor.Extent extent, @Nullable Below parent) throws BlockException {
        long bytes = extent.sectors() * SECTOR_BYTES;
        if (extent.kind() == VmdkDescriptor.Kind.ZERO) {
            BlockDevice nowhere = new FlatExtent("zeroes", new JoinedExtents("zeroes", List.of()), 0, 0);
            KnownMap zeroes = grain -> GrainMap.ZEROES;
            return new SparseExtent("zeroes", nowhere, bytes, NOTHING_GRAIN_BYTES, zeroes, null);
        }
        OpenFile file = extent.kind() == VmdkDescriptor.Kind.RAW_DEVICE
                ? neighbours.openDevice(extent.fileName(), true)
                : neighbours.open(extent.fileName());
        opened.add(file.device());
        GrainFile grains = switch (extent.kind()) {
            case SPARSE -> VmdkSparse.open(file.bytes());
            case VMFS_SPARSE -> VmfsSparse.open(file.bytes());
            case SE_SPARSE -> SeSparse.open(file.bytes());
            case FLAT, RAW_DEVICE, ZERO -> null;
        };
        if (grains == null) {
            return flat(file, extent.fromSector() * SECTOR_BYTES, bytes, false);
        }
        checkSize(first.bytes(), bytes, grains.sizeBytes());
        return grains.device(loop, workers, file.device(), parent);
    }

    static void checkSize(FileBytes descriptor, long bytes, long itself) throws BlockException {
        if (itself != bytes) {
            throw flaw(
                    descriptor,
                    ErrorKind.CORRUPT,
                    "it says that an extent has " + bytes + " bytes, which itself says " + itself);
        }
    }

    static BlockDevice flat(OpenFile file, long from, long bytes, boolean writable) throws BlockException {
        if (from > file.bytes().lengthBytes() || bytes > file.bytes().lengthBytes() - from) {
            throw flaw(file.bytes(), ErrorKind.CORRUPT, "it is shorter than its descriptor says");
        }
        String name = file.bytes().name();
        return writable
                ? FlatExtent.writable(name, file.device(), from, bytes)
                : new FlatExtent(name, file.device(), from, bytes);
    }
}
