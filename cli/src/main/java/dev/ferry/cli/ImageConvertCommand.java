package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.Slice;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Preallocation;
import dev.ferry.image.RawWriter;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Writer;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.Transfer;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.NewImages;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.convert.Conversion;
import java.nio.file.Path;
import java.util.List;
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
            "Holes and zeroes stay what they are. Nobody may change the source meanwhile.",
            "Killed at any time it leaves no target, and hidden files that the next try takes away."
        },
        footer = {
            "",
            "Examples:",
            "  ferry image convert vm1.raw vm1.qcow2 --format qcow2",
            "  ferry image convert vm1.qcow2 vm1.raw --from-format qcow2 --format raw",
            "  ferry image convert vm1.raw archive.qcow2 --format qcow2 --compress zstd",
            "  ferry image convert appliance.vmdk vm2.qcow2 --from-format vmdk --format qcow2",
            "  ferry image convert vm2.raw vm2.vmdk --format vmdk --subformat streamOptimized",
            "  ferry image convert vm2.vmdk vm2.vhd --from-format vmdk --format vhd",
            "  ferry image convert odd.qcow2 odd.raw --from-format qcow2 --size 1000000001 --format raw"
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

    @Option(
            names = "--size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            description =
                    "Of the disk in the source, where a format of whole sectors has made it longer by a part of one.")
    private @Nullable Long saidBytes;

    ImageConvertCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        long beganNanos = System.nanoTime();
        ImageFormat format = wanted.checked();
        checkOptions(format);
        long sizeBytes;
        try (DataPlane plane = DataPlane.start(0, EventLoops.Kind.AUTO);
                NewImage made = new NewImage(target)) {
            DiskLoop loop = plane.loops().getFirst();
            ImageFormat has = ImageCommands.chosen(loop, source, fromFormat, "--from-format");
            if (snapshot != null && has != ImageFormat.QCOW2) {
                throw Problems.wrongUsage("only qcow2 images have internal snapshots");
            }
            long wantedBytes = checkedBytes(loop, has);
            sizeBytes = wantedBytes;
            write(plane.loops(), each -> cut(open(each, has), wantedBytes), sizeBytes, made, format);
            made.publish();
        }
        double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
        screen.print(String.format(
                Locale.ROOT,
                "%s%s in %.1f s",
                Quantities.size(sizeBytes),
                NewImageOptions.padding(format, sizeBytes),
                seconds));
        return Ferry.DONE;
    }

    private BlockDevice open(DiskLoop loop, ImageFormat has) throws BlockException {
        DiskSpec spec = ImageCommands.spec(source, has, true);
        return snapshot == null
                ? Images.open(loop, spec, devices.files())
                : Images.openSnapshot(loop, spec, DataPlane.FILES, snapshot);
    }

    private static BlockDevice cut(BlockDevice disk, long sizeBytes) {
        return disk.geometry().sizeBytes() == sizeBytes ? disk : new Slice(disk, 0, sizeBytes);
    }

    /** How long the disk is, or was before a format of whole sectors made it longer, if that is what was said. */
    private long checkedBytes(DiskLoop loop, ImageFormat has) throws Exception {
        BlockDevice from = open(loop, has);
        try {
            long hasBytes = from.geometry().sizeBytes();
            Long wantedBytes = saidBytes;
            if (wantedBytes == null || wantedBytes == hasBytes) {
                return hasBytes;
            }
            long last = hasBytes - wantedBytes;
            if (last < 0 || has.paddedBytes(wantedBytes) != hasBytes) {
                throw Problems.wrongUsage(
                        "the disk in " + source + " has " + hasBytes + " bytes; --size is for what its"
                                + " format has added to its last sector, and 'ferry image resize' for other sizes");
            }
            IoBuffer end = IoBuffer.allocate((int) last);
            OnLoop.await(loop.loop(), read -> from.read(wantedBytes, end, 0, end.capacity(), read));
            if (!end.isZero(0, end.capacity())) {
                throw Problems.wrongUsage("behind " + wantedBytes + " bytes of " + source + " there is data");
            }
            return wantedBytes;
        } finally {
            OnLoop.await(loop.loop(), from::close);
        }
    }

    private void checkOptions(ImageFormat format) throws ProblemException {
        if (compress != null && format != ImageFormat.QCOW2) {
            throw Problems.wrongUsage("--compress is for qcow2 images");
        }
        if (compress != null && wanted.qcow2().dataName() != null) {
            throw Problems.wrongUsage("what is in a data file is not compressed");
        }
        if (compress != null && wanted.preallocation() != Preallocation.OFF) {
            throw Problems.wrongUsage(
                    "what is compressed takes less room than can be known: --compress goes without --preallocation");
        }
        if (compress != null && !compress.equals("zlib") && !compress.equals("zstd")) {
            throw Problems.wrongUsage("--compress takes zlib or zstd");
        }
    }

    private void write(List<DiskLoop> loops, Conversion.Source from, long sizeBytes, NewImage made, ImageFormat format)
            throws Exception {
        DiskLoop loop = loops.getFirst();
        DiskSpec spec = ImageCommands.spec(made.partial(), format, false);
        Qcow2Options qcow2 = "zstd".equals(compress) ? wanted.qcow2().withZstd() : wanted.qcow2();
        Conversion.Format inOnePass = inOnePass(loop, spec, qcow2);
        if (inOnePass != null) {
            Conversion.run(loops, from, spec, inOnePass);
            return;
        }
        BlockDevice disk = from.open(loop);
        try {
            wanted.make(loop, made, sizeBytes, qcow2, to -> new Transfer(loop.loop(), disk, to, true).run());
        } finally {
            OnLoop.await(loop.loop(), disk::close);
        }
    }

    /** How the image is written from its first cluster to its last; null where it is written as a disk. */
    private Conversion.@Nullable Format inOnePass(DiskLoop loop, DiskSpec spec, Qcow2Options qcow2)
            throws ProblemException {
        ImageFormat format = spec.format();
        if (wanted.preallocation() != Preallocation.OFF) {
            return null;
        }
        return switch (format) {
            case RAW -> RawWriter::new;
            case QCOW2 ->
                qcow2.dataName() != null
                        ? null
                        : (file, bytes) -> new Qcow2Writer(file, format.paddedBytes(bytes), qcow2, compress != null);
            case VMDK -> {
                VmdkKind kind = wanted.vmdkKind();
                yield kind.apart()
                        ? null
                        : (file, bytes) ->
                                new VmdkWriter(file, NewImages.text(loop, spec, kind, format.paddedBytes(bytes)));
            }
            case VHD, VHDX -> null;
        };
    }
}
