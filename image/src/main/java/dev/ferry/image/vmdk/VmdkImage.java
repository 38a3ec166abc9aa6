package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.GrainMap;
import dev.ferry.image.sparse.JoinedExtents;
import dev.ferry.image.sparse.SparseExtent;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;

/** Puts a disk together from the file that names it, and those that it names. Blocking code of the control plane. */
public final class VmdkImage {
    private static final int SECTOR_BYTES = 512;
    private static final int NOTHING_GRAIN_BYTES = 1 << 20;

    private VmdkImage() {}

    /** A file that is open, as bytes to look at and as a device to read from. */
    public record OpenFile(FileBytes bytes, BlockDevice device) {}

    /** Opens the files of extents; whoever does so decides what may be opened. */
    @FunctionalInterface
    public interface Opener {
        /** @param fileName a name in the directory of the first file */
        OpenFile open(String fileName) throws BlockException;
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
        return descriptor(first).extents().stream()
                        .mapToLong(VmdkDescriptor.Extent::sectors)
                        .sum()
                * SECTOR_BYTES;
    }

    /** What kind of disk it says that it is, such as {@code monolithicSparse}. */
    public static String createType(FileBytes first) throws BlockException {
        if (VmdkSparse.looksLikeOne(first)) {
            VmdkDescriptor within = VmdkSparse.open(first).descriptor();
            return within == null ? "an extent" : within.createType();
        }
        return descriptor(first).createType();
    }

    private static VmdkDescriptor descriptor(FileBytes first) throws BlockException {
        if (!VmdkDescriptor.looksLikeOne(first)) {
            throw flaw(first, ErrorKind.INVALID, "it is not a VMDK file");
        }
        return VmdkDescriptor.read(first);
    }

    /**
     * The disk that a file names. What it gives closes all files, the first too; if it fails those that the opener has opened
     * are closed, and the first is left open.
     */
    public static BlockDevice open(OpenFile first, Loop loop, Executor workers, Opener opener) throws BlockException {
        if (VmdkSparse.looksLikeOne(first.bytes())) {
            VmdkSparse sparse = VmdkSparse.open(first.bytes());
            VmdkDescriptor within = sparse.descriptor();
            if (within != null && within.extents().size() != 1) {
                throw flaw(first.bytes(), ErrorKind.UNSUPPORTED, "it names further files besides its own");
            }
            return sparse.device(loop, workers, first.device());
        }
        VmdkDescriptor descriptor = descriptor(first.bytes());
        List<BlockDevice> parts = new ArrayList<>();
        List<BlockDevice> opened = new ArrayList<>();
        try {
            for (VmdkDescriptor.Extent extent : descriptor.extents()) {
                parts.add(part(first, extent, loop, workers, opener, opened));
            }
        } catch (BlockException failed) {
            opened.forEach(device -> loop.execute(() -> device.close(closed -> {})));
            throw failed;
        }
        // The text has been read; its file goes with the disk, as an extent of no size.
        parts.add(new FlatExtent(first.bytes().name(), first.device(), 0, 0));
        return new JoinedExtents(first.bytes().name(), parts);
    }

    private static BlockDevice part(
            OpenFile first,
            VmdkDescriptor.Extent extent,
            Loop loop,
            Executor workers,
            Opener opener,
            List<BlockDevice> opened)
            throws BlockException {
        long bytes = extent.sectors() * SECTOR_BYTES;
        if (extent.kind() == VmdkDescriptor.Kind.ZERO) {
            BlockDevice nowhere = new FlatExtent("zeroes", new JoinedExtents("zeroes", List.of()), 0, 0);
            return new SparseExtent("zeroes", nowhere, bytes, NOTHING_GRAIN_BYTES, grain -> GrainMap.NOTHING);
        }
        OpenFile file = opener.open(extent.fileName());
        opened.add(file.device());
        if (extent.kind() == VmdkDescriptor.Kind.FLAT) {
            long from = extent.fromSector() * SECTOR_BYTES;
            if (from > file.bytes().lengthBytes() || bytes > file.bytes().lengthBytes() - from) {
                throw flaw(file.bytes(), ErrorKind.CORRUPT, "it is shorter than its descriptor says");
            }
            return new FlatExtent(file.bytes().name(), file.device(), from, bytes);
        }
        VmdkSparse sparse = VmdkSparse.open(file.bytes());
        if (sparse.sizeBytes() != bytes) {
            throw flaw(
                    first.bytes(),
                    ErrorKind.CORRUPT,
                    "it says that an extent has " + bytes + " bytes, which itself says " + sparse.sizeBytes());
        }
        return sparse.device(loop, workers, file.device());
    }
}
