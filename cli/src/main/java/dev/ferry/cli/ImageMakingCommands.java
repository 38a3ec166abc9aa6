package dev.ferry.cli;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import java.io.RandomAccessFile;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image create}, and what makes an empty image. */
final class ImageMakingCommands {
    private static final int SECTOR_BYTES = 512;

    private ImageMakingCommands() {}

    static void make(DiskLoop loop, DiskSpec spec, long sizeBytes, Qcow2Options options) throws Exception {
        if (spec.format() == ImageFormat.RAW) {
            try (RandomAccessFile file = new RandomAccessFile(spec.path().toFile(), "rw")) {
                file.setLength(sizeBytes);
            }
        } else {
            Images.format(loop, spec, DataPlane.FILES, sizeBytes, options);
        }
    }

    static Qcow2Options options(@Nullable Long clusterBytes, @Nullable Integer version) throws Exception {
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
}
