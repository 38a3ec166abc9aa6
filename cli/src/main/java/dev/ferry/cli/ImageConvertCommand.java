package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Packer;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.Transfer;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.NewImages;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.PackedConversion;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
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
            "  ferry image convert vm2.raw vm2.vmdk --format vmdk --subformat streamOptimized",
            "  ferry image convert vm2.vmdk vm2.vhd --from-format vmdk --format vhd"
        })
final class ImageConvertCommand implements Callable<Integer> {
    private static final double NANOS_PER_SECOND = 1e9;

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

    @Mixin
    private final NewImageOptions wanted = new NewImageOptions();

    @Mixin
    private final DeviceMaps devices = new DeviceMaps();

    @Option(
            names = "--compress",
            paramLabel = "HOW",
            description = "qcow2: compress what is written, on all cores: zlib, or zstd, which is faster.")
    private @Nullable String compress;

    ImageConvertCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        long beganNanos = System.nanoTime();
        ImageFormat format = wanted.checked();
        checkOptions(format);
        long sizeBytes;
        try (DataPlane plane = NbdCommands.plane();
                NewImage made = new NewImage(target)) {
            DiskLoop loop = plane.loops().getFirst();
            ImageFormat has = ImageCommands.chosen(loop, source, fromFormat, "--from-format");
            if (snapshot != null && has != ImageFormat.QCOW2) {
                throw Problems.wrongUsage("only qcow2 images have internal snapshots");
            }
            BlockDevice from = snapshot == null
                    ? Images.open(loop, ImageCommands.spec(source, has, true), devices.files())
                    : Images.openSnapshot(loop, ImageCommands.spec(source, has, true), DataPlane.FILES, snapshot);
            sizeBytes = from.geometry().sizeBytes();
            NewImageOptions.refuseOdd(format, sizeBytes);
            write(loop, from, made, format);
            OnLoop.await(loop.loop(), from::close);
            made.publish();
        }
        double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
        screen.print(String.format(Locale.ROOT, "%s in %.1f s", Quantities.size(sizeBytes), seconds));
        return Ferry.DONE;
    }

    private void checkOptions(ImageFormat format) throws ProblemException {
        if (compress != null && format != ImageFormat.QCOW2) {
            throw Problems.wrongUsage("--compress is for qcow2 images");
        }
        if (compress != null && !compress.equals("zlib") && !compress.equals("zstd")) {
            throw Problems.wrongUsage("--compress takes zlib or zstd");
        }
    }

    private void write(DiskLoop loop, BlockDevice from, NewImage made, ImageFormat format) throws Exception {
        long sizeBytes = from.geometry().sizeBytes();
        DiskSpec spec = ImageCommands.spec(made.partial(), format, false);
        Qcow2Options qcow2 = "zstd".equals(compress) ? wanted.qcow2().withZstd() : wanted.qcow2();
        if (compress != null) {
            PackedConversion.run(loop, from, spec, DataPlane.FILES, bytes -> new Qcow2Packer(bytes, sizeBytes, qcow2));
        } else if (format == ImageFormat.VMDK && !wanted.vmdkKind().apart()) {
            VmdkText text = NewImages.text(loop, spec, wanted.vmdkKind(), sizeBytes);
            PackedConversion.run(loop, from, spec, DataPlane.FILES, bytes -> new VmdkWriter(bytes, text));
        } else {
            wanted.make(loop, made, sizeBytes, qcow2, to -> new Transfer(loop.loop(), from, to, true).run());
        }
    }
}
