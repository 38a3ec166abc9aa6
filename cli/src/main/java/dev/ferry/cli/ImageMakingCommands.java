package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.Transfer;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.PackedConversion;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image create} and {@code convert}. */
final class ImageMakingCommands {
    private static final int SECTOR_BYTES = 512;

    private ImageMakingCommands() {}

    private static void make(DiskLoop loop, DiskSpec spec, long sizeBytes, Qcow2Options options) throws Exception {
        if (spec.format() == ImageFormat.RAW) {
            try (RandomAccessFile file = new RandomAccessFile(spec.path().toFile(), "rw")) {
                file.setLength(sizeBytes);
            }
        } else {
            Images.format(loop, spec, DataPlane.FILES, sizeBytes, options);
        }
    }

    private static Qcow2Options options(@Nullable Long clusterBytes, @Nullable Integer version) throws Exception {
        Qcow2Options options = Qcow2Options.DEFAULT;
        if (clusterBytes != null) {
            if (Long.bitCount(clusterBytes) != 1) {
                throw Problems.wrongUsage("a cluster size is a power of two from 512 to 2M");
            }
            options = options.withClusterBits(Long.numberOfTrailingZeros(clusterBytes));
        }
        return version == null ? options : options.withVersion(version);
    }

    @Command(
            name = "create",
            description = "Makes an image, all zeroes, or an overlay over a backing file beside it.",
            footer = {
                "",
                "Examples:",
                "  ferry image create vm1.qcow2 --format qcow2 --size 20G",
                "  ferry image create today.qcow2 --format qcow2 --backing vm1.qcow2 --backing-format qcow2"
            })
    static final class Create implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "FILE", description = "What to make; it must not be there.")
        private Path file = Path.of("");

        @Option(names = "--format", paramLabel = "F", required = true, description = "raw or qcow2.")
        private String format = "";

        @Option(
                names = "--size",
                paramLabel = "S",
                converter = Quantities.Size.class,
                description = "Of the disk (default: that of the backing file).")
        private @Nullable Long wantedBytes;

        @Option(
                names = "--cluster-size",
                paramLabel = "S",
                converter = Quantities.Size.class,
                description = "qcow2: 512 to 2M (default: 64K).")
        private @Nullable Long clusterBytes;

        @Option(names = "--qcow2-version", paramLabel = "N", description = "2 or 3 (default).")
        private @Nullable Integer version;

        @Option(
                names = "--backing",
                paramLabel = "FILE",
                description = "qcow2: what it lies over, in the same directory.")
        private @Nullable String backing;

        @Option(names = "--backing-format", paramLabel = "F", description = "raw or qcow2.")
        private @Nullable String backingFormat;

        Create(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            ImageFormat wanted = ImageCommands.writable(format);
            Qcow2Options options = options(clusterBytes, version);
            if ((backing == null) != (backingFormat == null)) {
                throw Problems.wrongUsage("--backing and --backing-format come together");
            }
            if (wanted == ImageFormat.RAW && (backing != null || clusterBytes != null || version != null)) {
                throw Problems.wrongUsage("a raw file has no options but its size");
            }
            if (wantedBytes == null && backing == null) {
                throw Problems.wrongUsage("--size is missing");
            }
            try (DataPlane plane = NbdCommands.plane()) {
                DiskLoop loop = plane.loops().getFirst();
                long sizeBytes = wantedBytes == null ? 0 : wantedBytes;
                if (backing != null && backingFormat != null) {
                    options = options.withBacking(
                            backing, ImageCommands.format(backingFormat).text());
                    Path below = file.toAbsolutePath().resolveSibling(backing);
                    long belowBytes = Images.sizeBytes(
                            loop,
                            ImageCommands.spec(below, ImageCommands.format(backingFormat), true),
                            DataPlane.FILES);
                    sizeBytes = wantedBytes == null
                            ? (belowBytes + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES
                            : sizeBytes;
                }
                try (NewImage made = new NewImage(file)) {
                    make(loop, ImageCommands.spec(made.partial(), wanted, false), sizeBytes, options);
                    made.publish();
                }
                screen.print(file + ": " + wanted.text() + ", " + Quantities.size(sizeBytes));
            }
            return Ferry.DONE;
        }
    }

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
                "  ferry image convert appliance.vmdk vm2.qcow2 --from-format vmdk --format qcow2"
            })
    static final class Convert implements Callable<Integer> {
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

        @Option(names = "--format", paramLabel = "F", required = true, description = "Of the target: raw or qcow2.")
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

        Convert(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            long beganNanos = System.nanoTime();
            ImageFormat wanted = ImageCommands.writable(format);
            Qcow2Options options = compressed(options(clusterBytes, version));
            if (compress != null && wanted != ImageFormat.QCOW2) {
                throw Problems.wrongUsage("only qcow2 images are compressed");
            }
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
                long sizeBytes = from.geometry().sizeBytes();
                if (wanted != ImageFormat.RAW && sizeBytes % SECTOR_BYTES != 0) {
                    throw Problems.wrongUsage("the source has " + sizeBytes + " bytes, and a " + wanted.text()
                            + " disk has a multiple of 512");
                }
                DiskSpec spec = ImageCommands.spec(made.partial(), wanted, false);
                if (compress != null) {
                    PackedConversion.run(loop, from, spec, DataPlane.FILES, options);
                } else {
                    make(loop, spec, sizeBytes, options);
                    BlockDevice to = Images.open(loop, spec, DataPlane.FILES);
                    new Transfer(loop.loop(), from, to, true).run();
                    OnLoop.await(loop.loop(), to::close);
                }
                OnLoop.await(loop.loop(), from::close);
                made.publish();
                double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
                screen.print(String.format(Locale.ROOT, "%s in %.1f s", Quantities.size(sizeBytes), seconds));
            }
            return Ferry.DONE;
        }

        private Qcow2Options compressed(Qcow2Options options) throws Exception {
            return switch (compress == null ? "zlib" : compress) {
                case "zlib" -> options;
                case "zstd" -> options.withZstd();
                default -> throw Problems.wrongUsage("--compress takes zlib or zstd");
            };
        }
    }
}
