package dev.ferry.cli;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.Parents;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image create}. */
final class ImageMakingCommands {
    private static final int SECTOR_BYTES = 512;

    private ImageMakingCommands() {}

    @Command(
            name = "create",
            description = "Makes an image, all zeroes, or an overlay or delta over a file beside it.",
            footer = {
                "",
                "Examples:",
                "  ferry image create vm1.qcow2 --format qcow2 --size 20G",
                "  ferry image create vm1.qcow2 --format qcow2 --size 20G --preallocation falloc",
                "  ferry image create vm1.vmdk --format vmdk --subformat twoGbMaxExtentSparse --size 20G",
                "  ferry image create today.qcow2 --format qcow2 --backing vm1.qcow2 --backing-format qcow2",
                "  ferry image create today.vmdk --format vmdk --backing vm1.vmdk"
            })
    static final class Create implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "FILE", description = "What to make; it must not be there.")
        private Path file = Path.of("");

        @Mixin
        private final NewImageOptions wanted = new NewImageOptions();

        @Option(
                names = "--size",
                paramLabel = "S",
                converter = Quantities.Size.class,
                description = "Of the disk (default: that of the backing file).")
        private @Nullable Long wantedBytes;

        @Option(
                names = "--backing",
                paramLabel = "FILE",
                description = "Not raw: what it lies over, in the same directory.")
        private @Nullable String backing;

        @Option(
                names = "--backing-format",
                paramLabel = "F",
                description = "Of that file. Needed for qcow2; a delta is of the format of its parent.")
        private @Nullable String backingFormat;

        Create(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            ImageFormat format = wanted.checked();
            Qcow2Options options = wanted.qcow2();
            if (backing == null && backingFormat != null) {
                throw Problems.wrongUsage("--backing-format comes with --backing");
            }
            if (backing != null && format != ImageFormat.QCOW2) {
                return delta(format, backing);
            }
            if (backing != null && backingFormat == null) {
                throw Problems.wrongUsage("--backing of a qcow2 image needs --backing-format");
            }
            if (backing != null && wanted.preallocation().ofData()) {
                throw Problems.wrongUsage("an overlay has no room of its own for what shows through from below: "
                        + "it takes --preallocation off, and metadata with --extended-l2");
            }
            if (backing != null && options.mapped() && !options.extendedL2()) {
                throw Problems.wrongUsage("--preallocation metadata of an overlay needs --extended-l2: "
                        + "what has a place would hide what is below");
            }
            if (wantedBytes == null && backing == null) {
                throw Problems.wrongUsage("--size is missing");
            }
            try (DataPlane plane = NbdCommands.plane()) {
                DiskLoop loop = plane.loops().getFirst();
                long sizeBytes = wantedBytes == null ? 0 : wantedBytes;
                if (backing != null && backingFormat != null) {
                    options = options.withBacking(
                            backing, ImageCommands.format(backingFormat).qemuText());
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
                    wanted.make(loop, made, sizeBytes, options, null);
                    made.publish();
                }
                screen.print(file + ": " + format.text() + ", " + Quantities.size(sizeBytes)
                        + NewImageOptions.padding(format, sizeBytes));
            }
            return Ferry.DONE;
        }

        private int delta(ImageFormat format, String parentName) throws Exception {
            if (!Parents.deltasIn(format)) {
                throw Problems.wrongUsage("a raw disk lies over nothing: --backing is for the other formats");
            }
            if (backingFormat != null && ImageCommands.format(backingFormat) != format) {
                throw Problems.wrongUsage("a " + format.text() + " delta lies over a " + format.text() + " disk");
            }
            try (DataPlane plane = NbdCommands.plane();
                    NewImage made = new NewImage(file)) {
                DiskLoop loop = plane.loops().getFirst();
                DiskSpec spec = ImageCommands.spec(made.partial(), format, false);
                Parents.Parent parent = Parents.parent(loop, spec, DataPlane.FILES, parentName);
                if (wantedBytes != null && wantedBytes != parent.sizeBytes()) {
                    throw Problems.wrongUsage("a delta has the size of its parent, " + parent.sizeBytes() + " bytes");
                }
                wanted.makeDelta(loop, made, parent);
                made.publish();
                screen.print(file + ": " + format.text() + ", " + Quantities.size(parent.sizeBytes()) + ", over "
                        + parentName);
            }
            return Ferry.DONE;
        }
    }
}
