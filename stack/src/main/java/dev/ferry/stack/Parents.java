package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vmdk.VmdkDescriptor;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * The parents of deltas in VMDK, VHD and VHDX: what a file says that its parent is called, where that lies, and new deltas over
 * one. A parent lies in the directory of its delta, and is of the same format. Thread: the control plane; calls block.
 */
public final class Parents {
    private static final int NAME_MAX = 250;

    private Parents() {}

    /** What a delta says that it lies over, a claim; null for other disks. Opens nothing but that file. */
    public static @Nullable String named(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        List<String> names = names(loop, spec, opener);
        return names == null || names.isEmpty() || names.getFirst().isEmpty() ? null : names.getFirst();
    }

    /** Null for what is no delta; the names are as they stand there. */
    private static @Nullable List<String> names(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        Said said = Images.with(loop, spec.cached().asReadOnly(), opener, bytes -> switch (spec.format()) {
            case RAW, QCOW2 -> Said.NOTHING;
            case VMDK -> said(VmdkImage.descriptor(bytes));
            case VHD -> said(VhdImage.open(bytes));
            case VHDX -> said(VhdxImage.open(bytes));
        });
        return said.delta() ? said.names() : null;
    }

    private record Said(boolean delta, List<String> names) {
        private static final Said NOTHING = new Said(false, List.of());
    }

    private static Said said(@Nullable VmdkDescriptor descriptor) {
        return descriptor == null ? Said.NOTHING : new Said(descriptor.delta(), List.of(descriptor.parentHint()));
    }

    private static Said said(DeltaFile file) {
        return new Said(file.delta(), file.parentNames());
    }

    /** The file that a delta lies over, if it is where it may be; null for a disk that is none. Opens only the delta. */
    static @Nullable DiskSpec of(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        List<String> names = names(loop, spec, opener);
        if (names == null) {
            return null;
        }
        @Nullable BlockException failed = null;
        for (String path : names) {
            String name = Neighbours.lastOf(path);
            if (Neighbours.isName(name)) {
                try {
                    return at(spec, name);
                } catch (BlockException notThere) {
                    failed = failed == null ? notThere : failed;
                }
            }
        }
        throw failed == null ? Images.refused(spec, "it is a delta, and does not say of which parent") : failed;
    }

    private static DiskSpec at(DiskSpec delta, String name) throws BlockException {
        return new DiskSpec(name, Images.beside(delta, name), Provisioning.THIN, true, false, delta.format());
    }

    // ---- new deltas

    /** True for formats in which new deltas are made. */
    public static boolean deltasIn(ImageFormat format) {
        return format != ImageFormat.RAW && format != ImageFormat.QCOW2;
    }

    /**
     * A disk that a new delta may lie over.
     *
     * @param name of its file, beside the delta's
     */
    public record Parent(String name, DiskSpec spec, long sizeBytes) {}

    /**
     * Looks at what a new delta is to lie over: a file beside it, in the same format, which opens with all that is below it, and
     * which nobody writes to.
     */
    public static Parent parent(DiskLoop loop, DiskSpec delta, FileOpener opener, String name) throws BlockException {
        if (!Neighbours.isName(name) || name.length() > NAME_MAX) {
            throw invalid(delta, "a delta in format " + delta.format().text() + " lies in the directory of its parent");
        }
        DiskSpec spec = at(delta, name);
        BlockDevice disk = Images.open(loop, spec, opener);
        try {
            return new Parent(name, spec, disk.geometry().sizeBytes());
        } finally {
            OnLoop.await(loop.loop(), disk::close);
        }
    }

    /** Makes a delta of the usual kind, as long as its parent, in a file that is there and holds nothing of worth. */
    public static void delta(DiskLoop loop, DiskSpec spec, FileOpener opener, Parent parent) throws BlockException {
        switch (spec.format()) {
            case VMDK -> {
                VmdkText text = vmdk(loop, spec, opener, VmdkKind.MONOLITHIC_SPARSE, parent);
                NewImages.vmdk(loop, spec, opener, text, name -> spec.path());
            }
            case VHD -> {
                UUID identity = Images.with(
                        loop,
                        parent.spec().cached(),
                        opener,
                        bytes -> VhdImage.open(bytes).identity());
                VhdCreator.Parent over =
                        new VhdCreator.Parent(parent.name(), identity, NewImages.changed(parent.spec()));
                UUID own = NewImages.identity(loop, spec);
                Instant made = NewImages.changed(spec);
                ImageChanges.change(
                        loop,
                        spec,
                        opener,
                        bytes -> VhdCreator.createDelta(bytes, parent.sizeBytes(), made, own, over));
            }
            case VHDX -> {
                VhdxCreator.Parent over = Images.with(loop, parent.spec().cached(), opener, bytes -> {
                    VhdxImage image = VhdxImage.open(bytes);
                    return new VhdxCreator.Parent(parent.name(), image.dataIdentity(), image.sectorBytes());
                });
                UUID own = NewImages.identity(loop, spec);
                ImageChanges.change(
                        loop, spec, opener, bytes -> VhdxCreator.createDelta(bytes, parent.sizeBytes(), own, over));
            }
            case RAW, QCOW2 ->
                throw invalid(spec, "deltas in format " + spec.format().text() + " are not made");
        }
    }

    /** What a VMDK delta is to say of itself. */
    public static VmdkText vmdk(DiskLoop loop, DiskSpec spec, FileOpener opener, VmdkKind kind, Parent parent)
            throws BlockException {
        if (!VmdkText.isName(parent.name())) {
            throw invalid(spec, "a vmdk descriptor cannot name a file of the name of its parent");
        }
        long contentId = Images.with(loop, parent.spec().cached(), opener, Parents::contentId);
        VmdkText alone = NewImages.text(loop, spec, kind, parent.sizeBytes());
        return new VmdkText(kind, alone.parts(), alone.contentId(), new VmdkText.Parent(parent.name(), contentId));
    }

    private static long contentId(FileBytes bytes) throws BlockException {
        return Objects.requireNonNull(VmdkImage.descriptor(bytes), "it has been opened as a disk")
                .contentId();
    }

    private static BlockException invalid(DiskSpec spec, String why) {
        return BlockError.of(ErrorKind.INVALID, spec.shownAs(), "create", why).toException();
    }
}
