package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Preallocation;
import dev.ferry.image.Provisioner;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.vhd.VhdKind;
import dev.ferry.image.vhdx.VhdxKind;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DataFiles;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.NewImages;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.Parents;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What is said of an image that is to be made, and the making of it. */
final class NewImageOptions {
    @Option(
            names = "--format",
            paramLabel = "F",
            required = true,
            description = "Of what is made: raw, qcow2, vmdk, vhd or vhdx.")
    private String format = "";

    @Mixin
    private final ShapeOptions shape = new ShapeOptions();

    @Option(
            names = "--data-file",
            paramLabel = "NAME",
            description =
                    "qcow2: keep the data in another file of this name in the same directory; it must not be there.")
    private @Nullable String dataFile;

    @Option(
            names = "--data-file-raw",
            description = "qcow2: that file is at all times what the guest sees, so that it can be read as a raw disk.")
    private boolean dataFileRaw;

    @Option(
            names = "--subformat",
            paramLabel = "KIND",
            description = {
                "vmdk: monolithicSparse (default); streamOptimized, which is compressed on all cores and only for convert;"
                        + " or with its data in files beside it: monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat,"
                        + " vmfs.",
                "vhd, vhdx: dynamic (default) or fixed."
            })
    private @Nullable String subformat;

    @Option(
            names = "--preallocation",
            paramLabel = "HOW",
            description = {
                "off (default): room is taken by what is written; metadata (qcow2): each cluster gets its place at once;",
                "falloc: all room is reserved; full: zeroes are written to it. Not for images that grow (vmdk sparse,",
                "vhd and vhdx dynamic)."
            })
    private @Nullable String preallocationText;

    private Qcow2Options qcow2 = Qcow2Options.DEFAULT;
    private Preallocation preallocation = Preallocation.OFF;

    /** The format, after what is said besides has been looked at. */
    ImageFormat checked() throws ProblemException {
        ImageFormat wanted = ImageCommands.format(format);
        qcow2 = shape.checked(wanted).options();
        if (wanted != ImageFormat.QCOW2 && (dataFile != null || dataFileRaw)) {
            throw Problems.wrongUsage("--data-file and --data-file-raw are for qcow2 images");
        }
        if (dataFileRaw && dataFile == null) {
            throw Problems.wrongUsage("--data-file-raw says something of --data-file, which is missing");
        }
        if (dataFile != null && !Neighbours.isName(dataFile)) {
            throw Problems.wrongUsage("--data-file takes a name in the directory of the image, and no path");
        }
        switch (wanted) {
            case VMDK -> vmdkKind();
            case VHD -> vhdKind();
            case VHDX -> vhdxKind();
            case RAW, QCOW2 -> {
                if (subformat != null) {
                    throw Problems.wrongUsage("--subformat is for vmdk, vhd and vhdx images");
                }
            }
        }
        preallocation = checkedPreallocation(wanted);
        return wanted;
    }

    private Preallocation checkedPreallocation(ImageFormat wanted) throws ProblemException {
        if (preallocationText == null) {
            return Preallocation.OFF;
        }
        Preallocation said = Preallocation.of(preallocationText)
                .orElseThrow(() -> Problems.wrongUsage("there is no preallocation '" + preallocationText
                        + "'; there are off, metadata, falloc and full"));
        if (said == Preallocation.METADATA && wanted != ImageFormat.QCOW2) {
            throw Problems.wrongUsage("--preallocation metadata is for qcow2 images; a " + wanted.text()
                    + " image takes off, falloc and full");
        }
        boolean grows = switch (wanted) {
            case RAW, QCOW2 -> false;
            case VMDK -> !vmdkKind().flat();
            case VHD -> vhdKind() != VhdKind.FIXED;
            case VHDX -> vhdxKind() != VhdxKind.FIXED;
        };
        if (said != Preallocation.OFF && grows) {
            throw Problems.wrongUsage("a " + wanted.text() + " image that grows takes its room as it is written to: "
                    + "--preallocation " + said.text() + " is for --subformat "
                    + (wanted == ImageFormat.VMDK ? "monolithicFlat, twoGbMaxExtentFlat and vmfs" : "fixed"));
        }
        return said;
    }

    /** What room is to be there at once; {@link #checked} has been called. */
    Preallocation preallocation() {
        return preallocation;
    }

    /** What a qcow2 image is to be; {@link #checked} has been called. */
    Qcow2Options qcow2() {
        Qcow2Options laid = preallocation == Preallocation.OFF ? qcow2 : qcow2.withMapped();
        return dataFile == null ? laid : laid.withData(dataFile, dataFileRaw);
    }

    VmdkKind vmdkKind() throws ProblemException {
        return VmdkKind.of(subformat == null ? VmdkKind.MONOLITHIC_SPARSE.text() : subformat)
                .orElseThrow(() -> Problems.wrongUsage("--subformat of a vmdk image is one of " + VmdkKind.list()));
    }

    VhdKind vhdKind() throws ProblemException {
        return VhdKind.of(subformat == null ? VhdKind.DYNAMIC.text() : subformat)
                .orElseThrow(() -> Problems.wrongUsage("--subformat of a vhd image is dynamic or fixed"));
    }

    VhdxKind vhdxKind() throws ProblemException {
        return VhdxKind.of(subformat == null ? VhdxKind.DYNAMIC.text() : subformat)
                .orElseThrow(() -> Problems.wrongUsage("--subformat of a vhdx image is dynamic or fixed"));
    }

    /** What a size has become in a format of whole sectors, in words; nothing where it fits. */
    static String padding(ImageFormat made, long sizeBytes) {
        long added = made.paddedBytes(sizeBytes) - sizeBytes;
        return added == 0
                ? ""
                : " and " + added + " bytes of zeroes at its end: a " + made.text() + " disk has whole sectors, and "
                        + sizeBytes + " bytes are none";
    }

    /** Fills a new disk. */
    @FunctionalInterface
    interface Filling {
        void fill(BlockDevice disk) throws Exception;
    }

    /**
     * Makes an image under its hidden name, with the files that it has beside it, which get their names with it.
     *
     * @param made the file that is to be it
     * @param sizeBytes of the disk; one of a format of whole sectors is longer by what is missing to one
     * @param filling what is to be in it; null: nothing
     */
    void make(DiskLoop loop, NewImage made, long sizeBytes, Qcow2Options qcow2, @Nullable Filling filling)
            throws Exception {
        ImageFormat wanted = checked();
        long wholeBytes = wanted.paddedBytes(sizeBytes);
        DiskSpec spec = spec(made, wanted);
        switch (wanted) {
            case RAW -> {
                try (RandomAccessFile file = new RandomAccessFile(spec.path().toFile(), "rw")) {
                    file.setLength(sizeBytes);
                }
            }
            case QCOW2 -> {
                String data = qcow2.dataName();
                if (data != null) {
                    apart(loop, made, spec, wholeBytes, qcow2, data, filling);
                    return;
                }
                Images.format(loop, spec, DataPlane.FILES, wholeBytes, qcow2);
            }
            case VHD -> NewImages.vhd(loop, spec, DataPlane.FILES, wholeBytes, vhdKind());
            case VMDK -> {
                vmdk(loop, made, spec, NewImages.text(loop, spec, vmdkKind(), wholeBytes), filling);
                return;
            }
            case VHDX -> NewImages.vhdx(loop, spec, DataPlane.FILES, wholeBytes, vhdxKind());
        }
        fill(loop, spec, filling, () -> Images.open(loop, spec, DataPlane.FILES));
    }

    /** A disk that takes up its room as it was said. */
    private DiskSpec spec(NewImage made, ImageFormat wanted) {
        return ImageCommands.spec(made.partial(), wanted, false).at(made.partial(), preallocation.provisioning());
    }

    /** Makes a delta under its hidden name, which reads as its parent does. */
    void makeDelta(DiskLoop loop, NewImage made, Parents.Parent parent) throws Exception {
        DiskSpec spec = ImageCommands.spec(made.partial(), checked(), false);
        if (preallocation != Preallocation.OFF) {
            throw Problems.wrongUsage("a delta takes its room as it is written to: it has no --preallocation");
        }
        if (spec.format() != ImageFormat.VMDK) {
            Parents.delta(loop, spec, DataPlane.FILES, parent);
            return;
        }
        VmdkKind kind = vmdkKind();
        if (!kind.canBeDelta()) {
            throw Problems.wrongUsage("a vmdk delta is monolithicSparse or twoGbMaxExtentSparse");
        }
        vmdk(loop, made, spec, Parents.vmdk(loop, spec, DataPlane.FILES, kind, parent), null);
    }

    /** Opens a disk. */
    @FunctionalInterface
    private interface Opening {
        BlockDevice open() throws BlockException;
    }

    /** Takes the room of a new disk, if it is to be there, and puts in it what is to be in it. */
    private static void fill(DiskLoop loop, DiskSpec spec, @Nullable Filling filling, Opening opening)
            throws Exception {
        boolean takesRoom = spec.provisioning() != Provisioning.THIN;
        if (filling == null && !takesRoom) {
            return;
        }
        BlockDevice disk = opening.open();
        try {
            if (takesRoom) {
                OnLoop.await(
                        loop.loop(), done -> new Provisioner(loop.loop(), disk, spec.provisioning(), done).start());
            }
            if (filling != null) {
                filling.fill(disk);
            }
        } finally {
            OnLoop.await(loop.loop(), disk::close);
        }
    }

    /** A qcow2 image with its data in another file. */
    private static void apart(
            DiskLoop loop,
            NewImage made,
            DiskSpec spec,
            long sizeBytes,
            Qcow2Options options,
            String dataName,
            @Nullable Filling filling)
            throws Exception {
        // QEMU looks for a name without a path in the directory that it is started in.
        Path named = spec.path().resolveSibling(dataName);
        Qcow2Options full = options.withData(named.toString(), options.dataRaw());
        NewImage data = made.part(named);
        DataFiles.format(loop, spec, DataPlane.FILES, data.partial(), sizeBytes, full);
        fill(loop, spec, filling, () -> DataFiles.openNew(loop, spec, DataPlane.FILES, data.partial()));
    }

    private static void vmdk(DiskLoop loop, NewImage made, DiskSpec spec, VmdkText text, @Nullable Filling filling)
            throws Exception {
        if (text.kind() == VmdkKind.STREAM_OPTIMIZED) {
            throw Problems.wrongUsage("a streamOptimized image is made by convert, and not written to afterwards");
        }
        Map<String, NewImage> parts = new LinkedHashMap<>();
        if (text.kind().apart()) {
            for (VmdkText.Part part : text.parts()) {
                parts.put(part.name(), made.part(spec.path().resolveSibling(part.name())));
            }
        }
        Function<String, Path> where = name -> {
            NewImage part = parts.get(name);
            return part == null ? spec.path() : part.partial();
        };
        NewImages.vmdk(loop, spec, DataPlane.FILES, text, where);
        fill(loop, spec, filling, () -> NewImages.openVmdk(loop, spec, DataPlane.FILES, where));
    }
}
