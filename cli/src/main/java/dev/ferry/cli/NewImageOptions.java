package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.vhd.VhdKind;
import dev.ferry.image.vhdx.VhdxKind;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.NewImages;
import dev.ferry.stack.OnLoop;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What is said of an image that is to be made, and the making of it. */
final class NewImageOptions {
    private static final int SECTOR_BYTES = 512;

    @Option(
            names = "--format",
            paramLabel = "F",
            required = true,
            description = "Of what is made: raw, qcow2, vmdk, vhd or vhdx.")
    private String format = "";

    @Option(
            names = "--cluster-size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            description = "qcow2: 512 to 2M (default: 64K).")
    private @Nullable Long clusterBytes;

    @Option(names = "--qcow2-version", paramLabel = "N", description = "2 or 3 (default).")
    private @Nullable Integer version;

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

    /** The format, after what is said besides has been looked at. */
    ImageFormat checked() throws ProblemException {
        ImageFormat wanted = ImageCommands.format(format);
        if (wanted != ImageFormat.QCOW2 && (clusterBytes != null || version != null)) {
            throw Problems.wrongUsage("--cluster-size and --qcow2-version are for qcow2 images");
        }
        if (clusterBytes != null && Long.bitCount(clusterBytes) != 1) {
            throw Problems.wrongUsage("a cluster size is a power of two from 512 to 2M");
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

    Qcow2Options qcow2() {
        Qcow2Options options = clusterBytes == null
                ? Qcow2Options.DEFAULT
                : Qcow2Options.DEFAULT.withClusterBits(Long.numberOfTrailingZeros(clusterBytes));
        return version == null ? options : options.withVersion(version);
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

    static void refuseOdd(ImageFormat wanted, long sizeBytes) throws ProblemException {
        if (wanted != ImageFormat.RAW && sizeBytes % SECTOR_BYTES != 0) {
            throw Problems.wrongUsage("a " + wanted.text() + " disk has a multiple of 512 bytes, and not " + sizeBytes);
        }
    }

    /** Fills a new disk. */
    @FunctionalInterface
    interface Filling {
        void fill(BlockDevice disk) throws Exception;
    }

    /**
     * Makes an image under its hidden name, with the files that it has beside it; those have their names when it is filled.
     *
     * @param made the file that is to be it
     * @param filling what is to be in it; null: nothing
     */
    void make(DiskLoop loop, NewImage made, long sizeBytes, Qcow2Options qcow2, @Nullable Filling filling)
            throws Exception {
        ImageFormat wanted = checked();
        refuseOdd(wanted, sizeBytes);
        DiskSpec spec = ImageCommands.spec(made.partial(), wanted, false);
        switch (wanted) {
            case RAW -> {
                try (RandomAccessFile file = new RandomAccessFile(spec.path().toFile(), "rw")) {
                    file.setLength(sizeBytes);
                }
            }
            case QCOW2 -> Images.format(loop, spec, DataPlane.FILES, sizeBytes, qcow2);
            case VHD -> NewImages.vhd(loop, spec, DataPlane.FILES, sizeBytes, vhdKind());
            case VMDK -> {
                vmdk(loop, spec, sizeBytes, filling);
                return;
            }
            case VHDX -> NewImages.vhdx(loop, spec, DataPlane.FILES, sizeBytes, vhdxKind());
        }
        if (filling != null) {
            fill(loop, Images.open(loop, spec, DataPlane.FILES), filling);
        }
    }

    private static void fill(DiskLoop loop, BlockDevice disk, Filling filling) throws Exception {
        try {
            filling.fill(disk);
        } finally {
            OnLoop.await(loop.loop(), disk::close);
        }
    }

    private void vmdk(DiskLoop loop, DiskSpec spec, long sizeBytes, @Nullable Filling filling) throws Exception {
        VmdkText text = NewImages.text(loop, spec, vmdkKind(), sizeBytes);
        if (text.kind() == VmdkKind.STREAM_OPTIMIZED) {
            throw Problems.wrongUsage("a streamOptimized image is made by convert, and not written to afterwards");
        }
        Map<String, NewImage> parts = new LinkedHashMap<>();
        try {
            if (text.kind().apart()) {
                for (VmdkText.Part part : text.parts()) {
                    parts.put(part.name(), new NewImage(spec.path().resolveSibling(part.name())));
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
            for (NewImage part : parts.values()) {
                part.publish();
            }
        } finally {
            close(parts);
        }
    }

    private static void close(Map<String, NewImage> parts) throws BlockException {
        for (NewImage part : parts.values()) {
            part.close();
        }
    }
}
