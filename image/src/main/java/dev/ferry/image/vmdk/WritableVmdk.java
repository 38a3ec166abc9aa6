package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.SECTOR_BYTES;
import static dev.ferry.image.vmdk.VmdkDescriptor.flaw;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.FirstChange;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.HeldOpen;
import dev.ferry.image.sparse.JoinedExtents;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Opens a disk to be written: one sparse file, or a text and the flat or sparse files that it names; or a delta of such files
 * over a parent, which is read only. Compressed files and the deltas of ESX are refused, and so is a disk that names one file
 * twice. Blocking code of the control plane; used once.
 */
public final class WritableVmdk {
    private final OpenFile first;
    private final Loop loop;
    private final Executor workers;
    private final Neighbours neighbours;
    private final int contentId;
    private final List<FirstChange.Mark> marks = new ArrayList<>();
    private final List<BlockDevice> opened = new ArrayList<>();

    private WritableVmdk(OpenFile first, Loop loop, Executor workers, Neighbours neighbours, int contentId) {
        this.first = first;
        this.loop = loop;
        this.workers = workers;
        this.neighbours = neighbours;
        this.contentId = contentId;
    }

    /**
     * The disk that a file names. What it gives closes all files, the first too; if it fails those that were opened here are
     * closed, and the first is left open.
     *
     * @param first a file that grows
     * @param workers unpack what is compressed in a parent
     * @param contentId any number; from the first change on it is the disk's
     */
    public static BlockDevice open(OpenFile first, Loop loop, Executor workers, Neighbours neighbours, int contentId)
            throws BlockException {
        WritableVmdk disk = new WritableVmdk(first, loop, workers, neighbours, contentId);
        try {
            return new FirstChange(disk.open(), disk.marks);
        } catch (BlockException failed) {
            disk.opened.forEach(device -> loop.execute(() -> device.close(closed -> {})));
            throw failed;
        }
    }

    private BlockDevice open() throws BlockException {
        FileBytes file = first.bytes();
        VmdkDescriptor descriptor = VmdkImage.descriptor(file);
        if (descriptor == null) {
            throw flaw(file, ErrorKind.INVALID, "it is an extent of a disk; open the descriptor that names it");
        }
        BlockDevice parent = descriptor.delta() ? parent(descriptor) : null;
        if (VmdkSparse.looksLikeOne(file)) {
            if (descriptor.extents().size() != 1) {
                throw flaw(file, ErrorKind.UNSUPPORTED, "it names further files besides its own");
            }
            VmdkSparse sparse = VmdkSparse.open(file);
            BlockDevice disk = sparse.writable(loop, first.device(), below(parent, 0));
            markContent(sparse.descriptorAt(), sparse.descriptorBytes());
            marks.add(VmdkSparse.openMark(first.device()));
            return parent == null
                    ? disk
                    : new JoinedExtents(file.name(), List.of(disk, new HeldOpen(file.name(), parent)));
        }
        List<BlockDevice> parts = new ArrayList<>();
        Set<String> names = new HashSet<>();
        long from = 0;
        for (VmdkDescriptor.Extent extent : descriptor.extents()) {
            if (extent.kind() != VmdkDescriptor.Kind.ZERO && !names.add(extent.fileName())) {
                throw flaw(file, ErrorKind.UNSUPPORTED, "two of its extents are in one file");
            }
            parts.add(part(extent, below(parent, from)));
            from += extent.sectors() * SECTOR_BYTES;
        }
        markContent(0, file.lengthBytes());
        // The text goes with the disk, as an extent of no size.
        parts.add(new FlatExtent(file.name(), first.device(), 0, 0));
        if (parent != null) {
            parts.add(new HeldOpen(file.name(), parent));
        }
        return new JoinedExtents(file.name(), parts);
    }

    private BlockDevice parent(VmdkDescriptor descriptor) throws BlockException {
        BlockDevice parent = VmdkImage.parent(first, descriptor, loop, workers, neighbours);
        opened.add(parent);
        return parent;
    }

    private static @Nullable Below below(@Nullable BlockDevice parent, long from) {
        return parent == null ? null : new Below(parent, from);
    }

    private BlockDevice part(VmdkDescriptor.Extent extent, @Nullable Below below) throws BlockException {
        long bytes = extent.sectors() * SECTOR_BYTES;
        return switch (extent.kind()) {
            case FLAT -> {
                OpenFile file = neighbour(extent.fileName(), false);
                yield VmdkImage.flat(file, extent.fromSector() * SECTOR_BYTES, bytes, true);
            }
            case RAW_DEVICE -> {
                OpenFile device = neighbours.openDevice(extent.fileName(), false);
                opened.add(device.device());
                yield VmdkImage.flat(device, 0, bytes, true);
            }
            case SPARSE -> {
                OpenFile file = neighbour(extent.fileName(), true);
                VmdkSparse sparse = VmdkSparse.open(file.bytes());
                VmdkImage.checkSize(first.bytes(), bytes, sparse.sizeBytes());
                BlockDevice device = sparse.writable(loop, file.device(), below);
                marks.add(VmdkSparse.openMark(file.device()));
                yield device;
            }
            case VMFS_SPARSE, SE_SPARSE, ZERO ->
                throw flaw(
                        first.bytes(),
                        ErrorKind.UNSUPPORTED,
                        "an extent of its kind is read and not written; convert or import it");
        };
    }

    private OpenFile neighbour(String name, boolean grows) throws BlockException {
        OpenFile file = neighbours.openForWriting(name, grows);
        opened.add(file.device());
        return file;
    }

    /** The text was read before, so it is no longer than it may be. */
    private void markContent(long descriptorAt, long bytes) throws BlockException {
        FileBytes file = first.bytes();
        byte[] text = file.read(descriptorAt, (int) bytes);
        VmdkDescriptor.Digits found = VmdkDescriptor.contentIdAt(text);
        if (found == null) {
            throw flaw(file, ErrorKind.CORRUPT, "it has no content ID");
        }
        byte[] digits = found.other(contentId).getBytes(StandardCharsets.US_ASCII);
        marks.add(FirstChange.Mark.of(first.device(), descriptorAt + found.at(), digits, digits));
    }
}
