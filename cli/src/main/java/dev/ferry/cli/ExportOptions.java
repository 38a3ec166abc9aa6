package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.filter.Slice;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.OpenDisk;
import java.util.List;
import org.jspecify.annotations.Nullable;
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
            description = "A layer before the disk, for drills: delay=20ms, fault=write:0.1%%; may be repeated.")
    private List<String> filters = List.of();

    @Option(
            names = "--shared",
            paramLabel = "N",
            defaultValue = "0",
            description = "So many clients at once (default: 0, as many as come).")
    private int shared;

    void check() throws ProblemException {
        if (shared < 0) {
            throw Problems.wrongUsage("--shared is a number of clients, or 0 for as many as come");
        }
    }

    String name() {
        return name;
    }

    boolean readOnly() {
        return readOnly;
    }

    ServerSettings settings() {
        return shared == 0 ? ServerSettings.DEFAULT : ServerSettings.DEFAULT.withClientsPerExportMax(shared);
    }

    Export of(OpenDisk disk) throws ProblemException {
        return new Export(
                name,
                description == null ? disk.name() : description,
                front(disk),
                disk.loop().events(),
                disk.loop().buffers(),
                readOnly);
    }

    private BlockDevice front(OpenDisk disk) throws ProblemException {
        BlockDevice front = disk.front();
        if (offset != 0 || size != null) {
            long length = size == null ? disk.sizeBytes() - offset : size;
            if (!Slice.fits(front.geometry(), offset, length)) {
                throw Problems.wrongUsage("the disk has " + disk.sizeBytes() + " bytes in blocks of "
                        + front.geometry().blockSizeBytes() + "; --offset and --size have to fit it");
            }
            front = CheckedDevice.of(new Slice(front, offset, length), disk.name());
        }
        return ServeFilters.inFrontOf(front, disk.loop().loop(), disk.name(), filters);
    }
}
