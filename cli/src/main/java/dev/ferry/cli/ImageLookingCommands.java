package dev.ferry.cli;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.annotation.JsonUnwrapped;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ExtentSink;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.CheckReport;
import dev.ferry.image.qcow2.Qcow2Checker.Repair;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.Parents;
import dev.ferry.stack.Stacks;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image info}, {@code check} and {@code map}. Fields of JSON are named as qemu-img names them. */
final class ImageLookingCommands {
    private ImageLookingCommands() {}

    /** A disk image in JSON. */
    @JsonInclude(JsonInclude.Include.NON_NULL)
    private record InfoView(
            String filename,
            String format,
            @JsonProperty("virtual-size") long virtualSize,
            @JsonProperty("actual-size") long actualSize,
            @JsonProperty("cluster-size") @Nullable Long clusterSize,
            @JsonProperty("backing-filename") @Nullable String backingFilename,

            @JsonProperty("backing-filename-format") @Nullable
            String backingFormat,

            @JsonProperty("dirty-flag") boolean dirty,
            @Nullable List<SnapshotView> snapshots,
            @JsonProperty("format-specific") @Nullable Specific specific) {}

    /** A layer of a chain. */
    private record LayerView(
            @JsonUnwrapped InfoView image,
            @JsonProperty("shared-by") List<String> sharedBy) {}

    private record SnapshotView(
            String id,
            String name,
            @JsonProperty("vm-state-size") long vmStateSize,
            @JsonProperty("date-sec") long seconds,
            @JsonProperty("date-nsec") int nanos) {}

    private record Specific(String type, Qcow2View data) {}

    @JsonInclude(JsonInclude.Include.NON_NULL)
    private record Qcow2View(
            String compat,
            @JsonProperty("compression-type") String compression,
            @JsonProperty("lazy-refcounts") boolean lazyRefcounts,
            @JsonProperty("refcount-bits") int refcountBits,
            boolean corrupt,
            @JsonProperty("extended-l2") boolean extendedL2,
            @JsonProperty("data-file") @Nullable String dataFile,
            @JsonProperty("data-file-raw") boolean dataFileRaw,
            List<BitmapView> bitmaps) {}

    private record BitmapView(String name, long granularity, List<String> flags) {}

    @Command(
            name = "info",
            description = {
                "Tells what an image says of itself. Opens that file and no other, whatever the image names.",
                "Without --format it says what the content looks like.",
                "With --chain it tells of the backing files too, those in its directory, and who shares them."
            })
    static final class Info implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "FILE", description = "The image.")
        private Path file = Path.of("");

        @Option(names = "--format", paramLabel = "F", description = "raw, qcow2, vmdk, vhd or vhdx.")
        private @Nullable String format;

        @Option(names = "--chain", description = "Of its backing files too; as JSON an array, from the top.")
        private boolean chain;

        @Option(names = "--json", description = "As JSON: an object.")
        private boolean json;

        Info(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            try (DataPlane plane = NbdCommands.plane()) {
                DiskLoop loop = plane.loops().getFirst();
                ImageFormat has = format == null
                        ? Images.probe(loop, ImageCommands.spec(file, ImageFormat.RAW, true), DataPlane.FILES)
                        : ImageCommands.format(format);
                if (chain) {
                    chain(loop, Chain.of(loop, ImageCommands.spec(file, has, true), DataPlane.FILES));
                    return Ferry.DONE;
                }
                InfoView view = view(loop, ImageCommands.spec(file, has, true), file.toString());
                if (json) {
                    screen.json(view);
                } else {
                    print(view);
                }
            }
            return Ferry.DONE;
        }

        private void chain(DiskLoop loop, Chain layers) throws BlockException {
            if (!json) {
                ChainTable.print(screen, layers.layers());
                return;
            }
            List<LayerView> views = new ArrayList<>();
            for (Chain.Layer layer : layers.layers()) {
                List<String> others =
                        layer.sharedBy().stream().map(Path::toString).toList();
                views.add(new LayerView(view(loop, layer.spec(), layer.path().toString()), others));
            }
            screen.json(views);
        }

        private static InfoView view(DiskLoop loop, DiskSpec spec, String called) throws BlockException {
            long allocated = Stacks.allocatedBytes(spec.path());
            if (spec.format() != ImageFormat.QCOW2) {
                long size = Images.sizeBytes(loop, spec, DataPlane.FILES);
                String has = spec.format().text();
                String parent = Parents.named(loop, spec, DataPlane.FILES);
                return new InfoView(
                        called, has, size, allocated, null, parent, parent == null ? null : has, false, null, null);
            }
            Qcow2Description told = Images.describe(loop, spec, DataPlane.FILES);
            List<SnapshotView> snapshots = told.snapshots().stream()
                    .map(one -> new SnapshotView(one.id(), one.name(), one.vmStateBytes(), one.seconds(), one.nanos()))
                    .toList();
            Qcow2View data = new Qcow2View(
                    told.version() == 2 ? "0.10" : "1.1",
                    told.compression(),
                    told.lazyRefcounts(),
                    told.refcountBits(),
                    told.corrupt(),
                    told.extendedL2(),
                    told.dataFileName(),
                    told.rawData(),
                    told.bitmaps().stream().map(Info::view).toList());
            return new InfoView(
                    called,
                    "qcow2",
                    told.sizeBytes(),
                    allocated,
                    told.clusterBytes(),
                    told.backingName(),
                    told.backingFormat(),
                    told.dirty(),
                    snapshots.isEmpty() ? null : snapshots,
                    new Specific("qcow2", data));
        }

        private static BitmapView view(Qcow2Description.BitmapDescription bitmap) {
            List<String> flags = new ArrayList<>();
            if (bitmap.inUse()) {
                flags.add("in-use");
            }
            if (bitmap.auto()) {
                flags.add("auto");
            }
            return new BitmapView(bitmap.name(), bitmap.granularityBytes(), flags);
        }

        private void print(InfoView view) {
            screen.print("format        " + view.format());
            screen.print(
                    "size          " + Quantities.size(view.virtualSize()) + " (" + view.virtualSize() + " bytes)");
            screen.print("takes         " + Quantities.size(view.actualSize()));
            if (view.clusterSize() != null) {
                screen.print("clusters      " + Quantities.size(view.clusterSize()));
            }
            if (view.backingFilename() != null) {
                screen.print("backing file  " + ImageCommands.printable(view.backingFilename())
                        + (view.backingFormat() == null
                                ? ""
                                : " (" + ImageCommands.printable(view.backingFormat()) + ")"));
            }
            if (view.specific() != null) {
                Qcow2View data = view.specific().data();
                screen.print("version       " + (data.compat().equals("0.10") ? "2" : "3") + ", refcounts of "
                        + data.refcountBits() + " bits, compression " + data.compression());
                if (data.extendedL2()) {
                    screen.print("extended L2   its clusters are allocated in 32 parts");
                }
                if (data.dataFile() != null) {
                    screen.print("data file     " + ImageCommands.printable(data.dataFile())
                            + (data.dataFileRaw() ? ", raw" : ""));
                }
                data.bitmaps()
                        .forEach(bitmap -> screen.print("bitmap        " + ImageCommands.printable(bitmap.name()) + " "
                                + Quantities.size(bitmap.granularity()) + " " + String.join(", ", bitmap.flags())));
                if (data.corrupt() || view.dirty()) {
                    screen.print("marked as     " + (data.corrupt() ? "corrupt" : "in need of a check"));
                }
            }
            if (view.snapshots() != null) {
                view.snapshots()
                        .forEach(one -> screen.print("snapshot      " + ImageCommands.printable(one.id()) + " "
                                + ImageCommands.printable(one.name())));
            }
        }
    }

    private record CheckView(
            String filename,
            String format,
            long corruptions,
            long leaks,
            @JsonProperty("corruptions-fixed") long corruptionsFixed,
            @JsonProperty("leaks-fixed") long leaksFixed,
            @JsonProperty("total-clusters") long totalClusters,
            @JsonProperty("allocated-clusters") long allocatedClusters,
            @JsonProperty("compressed-clusters") long compressedClusters,
            @JsonProperty("fragmented-clusters") long fragmentedClusters,
            @JsonProperty("image-end-offset") long endOffset,
            List<String> findings) {}

    @Command(
            name = "check",
            description = {
                "Looks whether the tables of an image that nobody uses are sound, and mends those of qcow2 if told to.",
                "Fails if it is corrupt afterwards; leaks only waste room."
            })
    static final class Check implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "FILE", description = "The image.")
        private Path file = Path.of("");

        @Option(
                names = "--format",
                paramLabel = "F",
                defaultValue = "qcow2",
                description = "qcow2 (default), vmdk, vhd or vhdx.")
        private String format = "";

        @Option(names = "--repair", paramLabel = "WHAT", description = "leaks, or all.")
        private @Nullable String repair;

        @Option(names = "--json", description = "As JSON: an object.")
        private boolean json;

        Check(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            ImageFormat has = ImageCommands.format(format);
            if (has == ImageFormat.RAW) {
                throw Problems.wrongUsage("a raw disk has nothing that could be checked");
            }
            if (has != ImageFormat.QCOW2 && repair != null) {
                throw Problems.wrongUsage("of the formats that there are, only qcow2 can be repaired");
            }
            Repair what = switch (repair == null ? "" : repair) {
                case "" -> Repair.NONE;
                case "leaks" -> Repair.LEAKS;
                case "all" -> Repair.ALL;
                default -> throw Problems.wrongUsage("--repair takes leaks or all");
            };
            CheckReport report;
            try (DataPlane plane = NbdCommands.plane()) {
                DiskSpec spec = ImageCommands.spec(file, has, what == Repair.NONE);
                report = Images.check(plane.loops().getFirst(), spec, DataPlane.FILES, what);
            }
            if (json) {
                screen.json(new CheckView(
                        file.toString(),
                        format,
                        report.corruptions(),
                        report.leaks(),
                        report.corruptionsFixed(),
                        report.leaksFixed(),
                        report.totalClusters(),
                        report.allocatedClusters(),
                        report.compressedClusters(),
                        report.fragmentedClusters(),
                        report.endOffset(),
                        report.findings()));
            } else {
                report.findings().forEach(screen::print);
                screen.print(report.corruptions() + " corruptions, " + report.leaks() + " leaks"
                        + (what == Repair.NONE
                                ? ""
                                : "; mended: " + report.corruptionsFixed() + " corruptions, " + report.leaksFixed()
                                        + " leaks"));
                screen.print(report.allocatedClusters() + " of " + report.totalClusters() + " clusters are allocated, "
                        + report.compressedClusters() + " of them compressed");
            }
            return report.corruptions() == 0 ? Ferry.DONE : Ferry.FAILED;
        }
    }

    private record ExtentView(long start, long length, boolean zero, boolean data) {}

    @Command(name = "map", description = "Lists where a disk has data, where it has zeroes and where it has nothing.")
    static final class Map implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "FILE", description = "The image.")
        private Path file = Path.of("");

        @Option(names = "--format", paramLabel = "F", description = "raw (default), qcow2, vmdk, vhd or vhdx.")
        private @Nullable String format;

        @Option(names = "--json", description = "As JSON: an array.")
        private boolean json;

        Map(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            List<ExtentView> found = new ArrayList<>();
            try (DataPlane plane = NbdCommands.plane()) {
                DiskLoop loop = plane.loops().getFirst();
                ImageFormat has = ImageCommands.chosen(loop, file, format, "--format");
                BlockDevice device = ImageCommands.open(loop, file, has);
                long size = device.geometry().sizeBytes();
                for (long at = 0; at < size; ) {
                    long from = at;
                    OnLoop.await(
                            loop.loop(),
                            end -> device.extents(
                                    from,
                                    size - from,
                                    (offset, length, state) -> add(found, offset, length, state),
                                    end));
                    at = found.getLast().start() + found.getLast().length();
                }
                OnLoop.await(loop.loop(), device::close);
            }
            if (json) {
                screen.json(found);
                return Ferry.DONE;
            }
            for (ExtentView one : found) {
                screen.print(
                        one.start() + " " + one.length() + " " + (one.data() ? "data" : one.zero() ? "zero" : "hole"));
            }
            return Ferry.DONE;
        }

        /** One that goes on where the last ended, and is like it, is one with it. */
        private static void add(List<ExtentView> found, long offset, long length, int state) {
            boolean zero = (state & ExtentSink.ZERO) != 0;
            boolean data = state == 0;
            ExtentView last = found.isEmpty() ? null : found.getLast();
            if (last != null && last.zero() == zero && last.data() == data && last.start() + last.length() == offset) {
                found.set(found.size() - 1, new ExtentView(last.start(), last.length() + length, zero, data));
            } else {
                found.add(new ExtentView(offset, length, zero, data));
            }
        }
    }
}
