package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.filter.Slice;
import dev.ferry.image.ImageFormat;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What clients of an NBD server see of a disk. */
final class ExportOptions {
    @Option(
            names = "--export",
            paramLabel = "NAME",
            defaultValue = "",
            description = "Name of the export (default: none).")
    private String name = "";

    @Option(
            names = "--description",
            paramLabel = "TEXT",
            description = "What clients are told of it (default: the file's path).")
    private @Nullable String description;

    @Option(names = "--read-only", description = "Take no changes.")
    private boolean readOnly;

    @Option(
            names = "--load-snapshot",
            paramLabel = "NAME",
            description = {
                "What a qcow2 disk held when this internal snapshot was made, by its id or its name; takes no changes, but",
                "with --snapshot, which throws them away."
            })
    private @Nullable String loadSnapshot;

    @Option(
            names = "--offset",
            paramLabel = "S",
            defaultValue = "0",
            converter = Quantities.Size.class,
            description = "Serve only what is from here on.")
    private long offset;

    @Option(
            names = "--size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            description = "Serve only so much (default: all there is).")
    private @Nullable Long size;

    @Option(
            names = "--filter",
            paramLabel = "F",
            description = {
                "A layer before the disk, for drills: delay=20ms, fault=write:0.1%%, rate=50M, cow; may be repeated, the",
                "first is foremost."
            })
    private List<String> filters = List.of();

    @Option(
            names = "--rate",
            paramLabel = "R",
            defaultValue = "0",
            converter = Quantities.Rate.class,
            description = "Read and write so many bytes in a second, all clients together (default: 0, no bound).")
    private long rate;

    @Mixin
    private final ChangeOptions changes = new ChangeOptions();

    @Option(
            names = "--shared",
            paramLabel = "N",
            defaultValue = "0",
            description = "So many clients at once (default: 0, as many as come).")
    private int shared;

    void check(ImageFormat format) throws ProblemException {
        if (loadSnapshot != null && format != ImageFormat.QCOW2) {
            throw Problems.wrongUsage(
                    "only qcow2 images have internal snapshots; --load-snapshot goes with --format qcow2");
        }
        if (loadSnapshot != null && changes.marks()) {
            throw Problems.wrongUsage(
                    "a bitmap marks what changes on the disk as it is now; leave --bitmap or --load-snapshot out");
        }
        if (shared < 0) {
            throw Problems.wrongUsage("--shared is a number of clients, or 0 for as many as come");
        }
        changes.check();
    }

    String name() {
        return name;
    }

    /** The internal snapshot that is to be served in place of the disk, by its id or its name. */
    @Nullable
    String loadSnapshot() {
        return loadSnapshot;
    }

    /** True if the file itself is not to be changed, whether clients may change what they see or not. */
    boolean leavesFile() {
        return readOnly || changes.snapshot();
    }

    ServerSettings settings() {
        return shared == 0 ? ServerSettings.DEFAULT : ServerSettings.DEFAULT.withClientsPerExportMax(shared);
    }

    Export of(OpenDisk disk) throws ProblemException, IOException, BlockException {
        BlockDevice front = changes.marked(front(disk), disk.name());
        return new Export(
                        name,
                        description == null ? disk.name() : description,
                        front,
                        disk.loop().events(),
                        disk.loop().buffers(),
                        readOnly)
                .withContexts(changes::contexts);
    }

    /** Takes what belongs to the disk besides its bytes out of its image; before it is opened. */
    void load(DiskLoop loop, DiskSpec spec) throws ProblemException, BlockException {
        if (changes.load(loop, spec, DataPlane.FILES) && (offset != 0 || size != null)) {
            throw Problems.wrongUsage("a bitmap of the image is one of the whole disk; leave --offset and --size out");
        }
    }

    /** Puts it back; after the disk is closed. */
    void keep(DiskLoop loop, DiskSpec spec) throws BlockException {
        changes.keep(loop, spec, DataPlane.FILES);
    }

    private BlockDevice front(OpenDisk disk) throws ProblemException, IOException, BlockException {
        BlockDevice front = disk.front();
        if (offset != 0 || size != null) {
            long length = size == null ? disk.sizeBytes() - offset : size;
            if (!Slice.fits(front.geometry(), offset, length)) {
                throw Problems.wrongUsage("the disk has " + disk.sizeBytes() + " bytes in blocks of "
                        + front.geometry().blockSizeBytes() + "; --offset and --size have to fit it");
            }
            front = CheckedDevice.of(new Slice(front, offset, length), disk.name());
        }
        ServeFilters layers = new ServeFilters(disk.loop(), disk.name());
        if (changes.snapshot()) {
            front = layers.copyOnWrite(front);
        }
        front = layers.inFrontOf(front, filters);
        return rate == 0 ? front : layers.limited(front, rate);
    }
}
