package dev.ferry.cli;

import com.fasterxml.jackson.annotation.JsonProperty;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Description.SnapshotDescription;
import dev.ferry.image.qcow2.Qcow2Snapshots;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.ImageChanges;
import dev.ferry.stack.Images;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image resize} and {@code snapshot}: changes to images that nobody uses. */
final class ImageChangingCommands {
    private ImageChangingCommands() {}

    @Command(
            name = "resize",
            description = {
                "Makes the disk in an image that nobody uses longer, by zeroes, or shorter.",
                "Internal snapshots keep the size that they have. Killed at any time it leaves one size or the other.",
                "Compressed VMDK disks, and deltas, keep theirs."
            },
            footer = {
                "",
                "Examples:",
                "  ferry image resize vm1.qcow2 40G --format qcow2",
                "  ferry image resize vm1.vmdk 40G --format vmdk",
                "  ferry image resize vm1.raw 10G --shrink"
            })
    static final class Resize implements Callable<Integer> {
        private final Screen screen;

        @Parameters(index = "0", paramLabel = "FILE", description = "The image.")
        private Path file = Path.of("");

        @Parameters(
                index = "1",
                paramLabel = "SIZE",
                converter = Quantities.Size.class,
                description = "What the disk is to have.")
        private long sizeBytes;

        @Option(names = "--format", paramLabel = "F", description = "raw (default), qcow2, vmdk, vhd or vhdx.")
        private @Nullable String format;

        @Option(names = "--shrink", description = "It may become shorter; what lies beyond the new end is lost.")
        private boolean shrink;

        Resize(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            try (DataPlane plane = NbdCommands.plane()) {
                DiskLoop loop = plane.loops().getFirst();
                ImageFormat has = ImageCommands.chosen(loop, file, format, "--format");
                DiskSpec spec = ImageCommands.spec(file, has, false);
                long before = Images.sizeBytes(loop, spec, DataPlane.FILES);
                if (sizeBytes < before && !shrink) {
                    throw Problems.wrongUsage(file + " has " + before + " bytes, and what lies beyond " + sizeBytes
                            + " would be lost: say --shrink if it may be");
                }
                ImageChanges.resize(loop, spec, DataPlane.FILES, sizeBytes);
            }
            screen.print(file + ": " + Quantities.size(sizeBytes));
            return Ferry.DONE;
        }
    }

    private record SnapshotView(
            String id,
            String name,
            @JsonProperty("disk-size") long diskSize,
            @JsonProperty("vm-state-size") long vmStateSize,
            @JsonProperty("date-sec") long seconds,
            @JsonProperty("date-nsec") int nanos) {}

    private static final class What {
        @Option(names = "--create", paramLabel = "NAME", description = "Keep what the disk holds now.")
        private @Nullable String create;

        @Option(
                names = "--apply",
                paramLabel = "NAME",
                description =
                        "Make the disk what it was then; what it holds now is lost, unless another snapshot has it.")
        private @Nullable String apply;

        @Option(names = "--delete", paramLabel = "NAME", description = "Forget a snapshot; the disk stays what it is.")
        private @Nullable String delete;
    }

    @Command(
            name = "snapshot",
            description = {
                "Lists the internal snapshots of a qcow2 image, or makes one, goes back to one, deletes one.",
                "But to be listed the image must not be in use. Killed at any time it leaves the image as it was, or done.",
                "A snapshot goes by its name or its id. To read one: ferry image convert --snapshot NAME."
            },
            footer = {
                "",
                "Examples:",
                "  ferry image snapshot vm1.qcow2",
                "  ferry image snapshot vm1.qcow2 --create before-upgrade",
                "  ferry image snapshot vm1.qcow2 --apply before-upgrade"
            })
    static final class Snapshot implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "FILE", description = "The image.")
        private Path file = Path.of("");

        @ArgGroup
        private @Nullable What what;

        @Option(names = "--json", description = "The list as JSON: an array.")
        private boolean json;

        Snapshot(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            try (DataPlane plane = NbdCommands.plane()) {
                DiskLoop loop = plane.loops().getFirst();
                What wanted = what;
                if (wanted == null) {
                    DiskSpec spec = ImageCommands.spec(file, ImageFormat.QCOW2, true);
                    list(Images.describe(loop, spec, DataPlane.FILES).snapshots());
                } else {
                    DiskSpec spec = ImageCommands.spec(file, ImageFormat.QCOW2, false);
                    ImageChanges.change(loop, spec, DataPlane.FILES, change(wanted));
                }
            }
            return Ferry.DONE;
        }

        private static ImageChanges.Change change(What wanted) {
            String create = wanted.create;
            if (create != null) {
                Instant now = Instant.now();
                return bytes -> Qcow2Snapshots.create(bytes, create, now.getEpochSecond(), now.getNano());
            }
            String apply = wanted.apply;
            if (apply != null) {
                return bytes -> Qcow2Snapshots.apply(bytes, apply);
            }
            String delete = String.valueOf(wanted.delete);
            return bytes -> Qcow2Snapshots.delete(bytes, delete);
        }

        private void list(List<SnapshotDescription> snapshots) {
            if (json) {
                screen.json(snapshots.stream()
                        .map(one -> new SnapshotView(
                                one.id(), one.name(), one.sizeBytes(), one.vmStateBytes(), one.seconds(), one.nanos()))
                        .toList());
                return;
            }
            Table table = new Table("ID", "NAME", "SIZE", "MADE");
            for (SnapshotDescription one : snapshots) {
                table.row(
                        ImageCommands.printable(one.id()),
                        ImageCommands.printable(one.name()),
                        Quantities.size(one.sizeBytes()),
                        Instant.ofEpochSecond(one.seconds()).toString());
            }
            table.print(screen);
        }
    }
}
