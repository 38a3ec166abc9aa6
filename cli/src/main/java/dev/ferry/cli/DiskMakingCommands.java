package dev.ferry.cli;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ApplianceImport;
import dev.ferry.server.api.DiskCreate;
import dev.ferry.server.api.DiskImport;
import dev.ferry.server.api.DiskOverlay;
import dev.ferry.server.api.DiskShape;
import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.ImportStatus;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.client.DaemonClient;
import dev.ferry.stack.Appliance;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry disk create} and {@code import}. */
final class DiskMakingCommands {
    private DiskMakingCommands() {}

    /** Refuses formats that disks are not made in. */
    static ImageFormat checkedFormat(String format) throws ProblemException {
        return ImageFormat.of(format)
                .orElseThrow(() ->
                        Problems.wrongUsage("format '" + format + "' is not in this version of Ferry; use --format "
                                + ImageFormat.list().replaceFirst(", ([^,]*)$", " or $1")));
    }

    static String checkedProvisioning(String provisioning) throws ProblemException {
        if (!provisioning.matches("thin|lazy|eager")) {
            throw Problems.wrongUsage(
                    "there is no provisioning called '" + provisioning + "'; choose thin, lazy or eager");
        }
        return provisioning;
    }

    /** What the two have in common: where the disk is to be, and what is told of it when it is made. */
    abstract static class Making extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "NAME", description = "What to call it.")
        private String name = "";

        @Option(names = "--datastore", paramLabel = "D", required = true, description = "Where to keep it.")
        private String datastore = "";

        @Option(
                names = "--provisioning",
                paramLabel = "P",
                defaultValue = "thin",
                description = "thin (default), lazy or eager.")
        private String provisioning = "";

        @Mixin
        private final ShapeOptions shape = new ShapeOptions();

        Making(Screen screen) {
            super(screen);
        }

        final String name() throws ProblemException {
            return Names.checked("disk", name);
        }

        final String datastore() throws ProblemException {
            return Names.checked("datastore", datastore);
        }

        final String provisioning() throws ProblemException {
            return checkedProvisioning(provisioning);
        }

        /** The shape of a disk that is to have a format; null: as usual. */
        final @Nullable DiskShape shape(@Nullable ImageFormat format) throws ProblemException {
            Qcow2Shape _ = shape.checked(format == null ? ImageFormat.QCOW2 : format);
            return shape.toTell();
        }

        final void tell(DiskView view) {
            tell(view, () -> print(view));
        }

        final void tell(List<DiskView> views) {
            tell(views, () -> views.forEach(this::print));
        }

        private void print(DiskView view) {
            screen.print("disk " + view.name() + " of " + Quantities.size(view.sizeBytes()) + " in datastore "
                    + view.datastore() + ", at " + view.path());
        }
    }

    @Command(
            name = "create",
            description = "Makes a disk, all zeroes, or one that lies over a file of its datastore.",
            footer = {
                "",
                "thin   takes room when something is written, and gives it back when it is discarded",
                "lazy   reserves all of its room now",
                "eager  reserves all of its room and writes zeroes to it",
                "",
                "Examples:",
                "  ferry disk create vm1 --datastore fast --size 10G",
                "  ferry disk create vm2 --datastore fast --size 1T --format qcow2 --extended-l2",
                "  ferry disk create vm3 --datastore fast --backing debian.raw --backing-format raw"
            })
    static final class Create extends Making {
        @Option(
                names = "--size",
                paramLabel = "S",
                converter = Quantities.Size.class,
                description = "Its size, such as 10G or 512M (default: that of the backing file).")
        private @Nullable Long sizeBytes;

        @Option(
                names = "--backing",
                paramLabel = "FILE",
                description = "What it lies over: a file in the datastore's folder that is no disk itself.")
        private @Nullable String backing;

        @Option(names = "--backing-format", paramLabel = "F", description = "Of that file.")
        private @Nullable String backingFormat;

        @Option(
                names = "--format",
                paramLabel = "F",
                description = {
                    "raw (default), qcow2, vmdk, vhd or vhdx.",
                    "Over a file: qcow2 (default), or vmdk, vhd or vhdx over a file of that format."
                })
        private @Nullable String format;

        Create(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            Long size = sizeBytes;
            String over = backing;
            String overFormat = backingFormat;
            if ((over == null) != (overFormat == null)) {
                throw Problems.wrongUsage("--backing and --backing-format come together");
            }
            if (over != null && overFormat != null) {
                DiskOverlay request = new DiskOverlay(
                        name(),
                        datastore(),
                        size == null ? 0 : size,
                        over,
                        checkedFormat(overFormat).text(),
                        format == null ? null : checkedFormat(format).text(),
                        shape(format == null ? null : checkedFormat(format)));
                tell(client.post("/v1/disks/overlay", request, DiskView.class));
                return;
            }
            if (size == null) {
                throw Problems.wrongUsage("say how large it is to be, by --size");
            }
            ImageFormat chosen = checkedFormat(format == null ? ImageFormat.RAW.text() : format);
            DiskCreate request =
                    new DiskCreate(name(), datastore(), size, chosen.text(), provisioning(), shape(chosen));
            tell(client.post("/v1/disks", request, DiskView.class));
        }
    }

    @Command(
            name = "import",
            description = {
                "Makes a disk that is a copy of a file or block device. Holes and zeroes take no room.",
                "Of an appliance (.ova, or .ovf with its files beside it) it makes one of each disk, after all digests of"
                        + " its manifest have been verified."
            },
            footer = {
                "",
                "Examples:",
                "  ferry disk import vm1 --datastore fast --from /tmp/debian.raw",
                "  ferry disk import vm2 --datastore fast --from /tmp/debian.vmdk --from-format vmdk --format qcow2",
                "  ferry disk import vm3 --datastore fast --from /tmp/appliance.ova --disk 1"
            })
    static final class Import extends Making {
        @Option(names = "--from", paramLabel = "FILE", required = true, description = "What to copy; it is left alone.")
        private Path from = Path.of("");

        @Option(
                names = "--from-format",
                paramLabel = "F",
                description = "Of the file: raw (default), qcow2, vmdk, vhd, vhdx, or auto: what it looks like. Not for"
                        + " appliances, which say it themselves.")
        private @Nullable String fromFormat;

        @Option(
                names = "--format",
                paramLabel = "F",
                description =
                        "Of the disk: raw, qcow2, vmdk, vhd or vhdx (default: qcow2 if the file is, else raw), whatever the"
                                + " file is.")
        private @Nullable String format;

        @Option(
                names = "--disk",
                paramLabel = "N",
                description =
                        "Of an appliance: which of its disks, counted from 1 (default: all, as NAME-1, NAME-2, ...).")
        private @Nullable Integer disk;

        Import(Screen screen) {
            super(screen);
        }

        @Option(
                names = "--map-device",
                paramLabel = "NAME=PATH",
                description = "vmdk: the device that the raw device map NAME of the disk stands for on this host.")
        private Map<String, Path> devices = new LinkedHashMap<>();

        @Override
        void ask(DaemonClient client) throws Exception {
            try (DaemonClient other = client();
                    CopyLine _ = new CopyLine(screen, json(), new ImportLine(() -> status(other), System::nanoTime))) {
                make(client);
            }
        }

        private Optional<ImportStatus> status(DaemonClient client) {
            try {
                return Optional.of(client.get("/v1/disks/" + name() + "/import", ImportStatus.class));
            } catch (ProblemException notThere) {
                return Optional.empty();
            }
        }

        private void make(DaemonClient client) throws Exception {
            String path = from.toAbsolutePath().normalize().toString();
            ImageFormat wanted = format == null ? null : checkedFormat(format);
            if (fromFormat == null && Appliance.isOne(from)) {
                ImageFormat each = wanted == null ? ImageFormat.RAW : wanted;
                ApplianceImport request =
                        new ApplianceImport(name(), datastore(), path, disk, each.text(), provisioning(), shape(each));
                tell(List.of(client.post("/v1/disks/import-appliance", request, DiskView[].class)));
                return;
            }
            Map<String, String> paths = new LinkedHashMap<>();
            devices.forEach((map, device) ->
                    paths.put(map, device.toAbsolutePath().normalize().toString()));
            if (disk != null) {
                throw Problems.wrongUsage(
                        "--disk is for appliances, which end in .ova or .ovf and need no --from-format");
            }
            String said = fromFormat;
            DiskImport request = new DiskImport(
                    name(),
                    datastore(),
                    path,
                    said == null || said.equals("auto")
                            ? said
                            : ImageCommands.format(said).text(),
                    wanted == null ? null : wanted.text(),
                    provisioning(),
                    paths,
                    shape(wanted));
            tell(client.post("/v1/disks/import", request, DiskView.class));
        }
    }
}
