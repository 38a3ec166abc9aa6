package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.image.ImageFormat;
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

    private Qcow2Options qcow2 = Qcow2Options.DEFAULT;

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
        return wanted;
    }

    /** What a qcow2 image is to be; {@link #checked} has been called. */
    Qcow2Options qcow2() {
        return dataFile == null ? qcow2 : qcow2.withData(dataFile, dataFileRaw);
    }

    VmdkKind vmdkKind() throws ProblemException {
        return VmdkKind.of(subformat == null ? VmdkKind.MONOLITHIC_SPARSE.text() : subformat)
                .orElseThrow(() -> Problems.wrongUsage("--subformat of a vmdk image is one of " + VmdkKind.list()));
    }

    private VhdKind vhdKind() throws ProblemException {
        return VhdKind.of(subformat == null ? VhdKind.DYNAMIC.text() : subformat)
                .orElseThrow(() -> Problems.wrongUsage("--subformat of a vhd image is dynamic or fixed"));
    }

    private VhdxKind vhdxKind() throws ProblemException {
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
        DiskSpec spec = ImageCommands.spec(made.partial(), wanted, false);
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
        if (filling != null) {
            fill(loop, Images.open(loop, spec, DataPlane.FILES), filling);
        }
    }

    /** Makes a delta under its hidden name, which reads as its parent does. */
    void makeDelta(DiskLoop loop, NewImage made, Parents.Parent parent) throws Exception {
        DiskSpec spec = ImageCommands.spec(made.partial(), checked(), false);
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

    private static void fill(DiskLoop loop, BlockDevice disk, Filling filling) throws Exception {
        try {
            filling.fill(disk);
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
        if (filling != null) {
            fill(loop, DataFiles.openNew(loop, spec, DataPlane.FILES, data.partial()), filling);
        }
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
        if (filling != null) {
            fill(loop, NewImages.openVmdk(loop, spec, DataPlane.FILES, where), filling);
        }
    }
}
