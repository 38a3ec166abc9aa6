package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Packer;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.Transfer;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.PackedConversion;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image convert}. */
@Command(
        name = "convert",
        description = {
            "Makes an image that holds what another does, flattened.",
            "Holes and zeroes stay what they are. Nobody may change the source meanwhile."
        },
        footer = {
            "",
            "Examples:",
            "  ferry image convert vm1.raw vm1.qcow2 --format qcow2",
            "  ferry image convert vm1.qcow2 vm1.raw --from-format qcow2 --format raw",
            "  ferry image convert vm1.raw archive.qcow2 --format qcow2 --compress zstd",
            "  ferry image convert appliance.vmdk vm2.qcow2 --from-format vmdk --format qcow2",
            "  ferry image convert vm2.raw vm2.vmdk --format vmdk --subformat streamOptimized"
        })
final class ImageConvertCommand implements Callable<Integer> {
    private static final double NANOS_PER_SECOND = 1e9;
    private static final int SECTOR_BYTES = 512;

    private final Screen screen;

    @Parameters(index = "0", paramLabel = "SOURCE", description = "What to read.")
    private Path source = Path.of("");

    @Parameters(index = "1", paramLabel = "TARGET", description = "What to make; it must not be there.")
    private Path target = Path.of("");

    @Option(
            names = "--from-format",
            paramLabel = "F",
            description = "Of the source: raw (default), qcow2, vmdk, vhd or vhdx.")
    private @Nullable String fromFormat;

    @Option(
            names = "--snapshot",
            paramLabel = "NAME",
            description = "What a qcow2 source held when this internal snapshot was made.")
    private @Nullable String snapshot;

    @Option(names = "--format", paramLabel = "F", required = true, description = "Of the target: raw, qcow2 or vmdk.")
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
            names = "--compress",
            paramLabel = "HOW",
            description = "qcow2: compress what is written, on all cores: zlib, or zstd, which is faster.")
    private @Nullable String compress;

    @Option(
            names = "--subformat",
            paramLabel = "KIND",
            description =
                    "vmdk: monolithicSparse (default), monolithicFlat, whose data is in a file beside it that ends"
                            + " in -flat.vmdk, or streamOptimized, compressed on all cores.")
    private @Nullable String subformat;

    ImageConvertCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        long beganNanos = System.nanoTime();
        ImageFormat wanted = format.equals(ImageFormat.VMDK.text()) ? ImageFormat.VMDK : ImageCommands.writable(format);
        checkOptions(wanted);
        long sizeBytes;
        try (DataPlane plane = NbdCommands.plane();
                NewImage made = new NewImage(target)) {
            DiskLoop loop = plane.loops().getFirst();
            ImageFormat has = ImageCommands.chosen(loop, source, fromFormat, "--from-format");
            if (snapshot != null && has != ImageFormat.QCOW2) {
                throw Problems.wrongUsage("only qcow2 images have internal snapshots");
            }
            BlockDevice from = snapshot == null
                    ? ImageCommands.open(loop, source, has)
                    : Images.openSnapshot(loop, ImageCommands.spec(source, has, true), DataPlane.FILES, snapshot);
            sizeBytes = from.geometry().sizeBytes();
            if (wanted != ImageFormat.RAW && sizeBytes % SECTOR_BYTES != 0) {
                throw Problems.wrongUsage("the source has " + sizeBytes + " bytes, and a " + wanted.text()
                        + " disk has a multiple of 512");
            }
            if (wanted == ImageFormat.VMDK) {
                vmdk(loop, from, made, sizeBytes);
            } else {
                write(loop, from, ImageCommands.spec(made.partial(), wanted, false), sizeBytes);
            }
            OnLoop.await(loop.loop(), from::close);
            made.publish();
        }
        double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
        screen.print(String.format(Locale.ROOT, "%s in %.1f s", Quantities.size(sizeBytes), seconds));
        return Ferry.DONE;
    }

    private void checkOptions(ImageFormat wanted) throws ProblemException {
        if (compress != null && wanted != ImageFormat.QCOW2) {
            throw Problems.wrongUsage("--compress is for qcow2 images");
        }
        if (compress != null && !compress.equals("zlib") && !compress.equals("zstd")) {
            throw Problems.wrongUsage("--compress takes zlib or zstd");
        }
        if (subformat != null && wanted != ImageFormat.VMDK) {
            throw Problems.wrongUsage("--subformat is for vmdk images");
        }
    }

    /** Raw, or qcow2. */
    private void write(DiskLoop loop, BlockDevice from, DiskSpec spec, long sizeBytes) throws Exception {
        Qcow2Options plain = ImageMakingCommands.options(clusterBytes, version);
        Qcow2Options options = "zstd".equals(compress) ? plain.withZstd() : plain;
        if (compress != null) {
            PackedConversion.run(
                    loop, from, spec, DataPlane.FILES, bytes -> new Qcow2Packer(bytes, sizeBytes, options));
            return;
        }
        ImageMakingCommands.make(loop, spec, sizeBytes, options);
        BlockDevice to = Images.open(loop, spec, DataPlane.FILES);
        new Transfer(loop.loop(), from, to, true).run();
        OnLoop.await(loop.loop(), to::close);
    }

    private void vmdk(DiskLoop loop, BlockDevice from, NewImage made, long sizeBytes) throws Exception {
        VmdkKind kind = VmdkKind.of(subformat == null ? VmdkKind.MONOLITHIC_SPARSE.text() : subformat)
                .orElseThrow(() ->
                        Problems.wrongUsage("--subformat takes monolithicSparse, monolithicFlat or streamOptimized"));
        String name = String.valueOf(target.toAbsolutePath().normalize().getFileName());
        boolean flat = kind == VmdkKind.MONOLITHIC_FLAT;
        String extent = flat ? name.replaceFirst("(\\.vmdk)?$", "-flat.vmdk") : name;
        if (!VmdkText.isName(extent)) {
            throw Problems.wrongUsage("a vmdk descriptor cannot name the file " + extent);
        }
        VmdkText text = new VmdkText(
                kind, extent, sizeBytes, ThreadLocalRandom.current().nextInt());
        if (!flat) {
            DiskSpec spec = ImageCommands.spec(made.partial(), ImageFormat.VMDK, false);
            PackedConversion.run(loop, from, spec, DataPlane.FILES, bytes -> new VmdkWriter(bytes, text));
            return;
        }
        try (NewImage data = new NewImage(target.toAbsolutePath().resolveSibling(extent))) {
            write(loop, from, ImageCommands.spec(data.partial(), ImageFormat.RAW, false), sizeBytes);
            Files.writeString(made.partial(), text.write());
            data.publish();
        }
    }
}
