package dev.ferry.cli;

import dev.ferry.server.api.BitmapAdd;
import dev.ferry.server.api.BitmapView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.client.DaemonClient;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry disk bitmap}: what has changed on a disk since some time, for backups. */
@Command(
        name = "bitmap",
        description = {
            "Dirty bitmaps of a disk: which blocks were changed since a bitmap was added or cleared.",
            "NBD clients of the disk read them as qemu:dirty-bitmap:NAME."
        },
        footer = {
            "",
            "They follow the disk through moves, stops and restarts of the daemon. A daemon that is killed leaves them",
            "inconsistent: they are not shown to clients then, and are to be removed or cleared before a full backup.",
            "What is written to a disk's file past Ferry is not marked.",
            "",
            "Examples:",
            "  ferry disk bitmap add vm1 nightly",
            "  ferry disk bitmap ls vm1",
            "  nbdinfo --map=qemu:dirty-bitmap:nightly $(ferry disk show vm1 --json | jq -r .uri)"
        },
        synopsisSubcommandLabel = "COMMAND")
final class BitmapCommands {
    private BitmapCommands() {}

    static CommandLine of(Screen screen) {
        return new CommandLine(new BitmapCommands())
                .addSubcommand(new Add(screen))
                .addSubcommand(new Ls(screen))
                .addSubcommand(new Remove(screen))
                .addSubcommand(new Clear(screen));
    }

    /** What all of them have in common. */
    private abstract static class OfDisk extends DaemonCommand.WithJson {
        @Parameters(index = "0", paramLabel = "DISK", description = "The disk.")
        private String disk = "";

        OfDisk(Screen screen) {
            super(screen);
        }

        final String path() throws ProblemException {
            return DiskCommands.path(Names.checked("disk", disk)) + "/bitmaps";
        }

        final void tell(BitmapView[] views) {
            tell(List.of(views), () -> print(List.of(views)));
        }

        private void print(List<BitmapView> views) {
            Table table = new Table("NAME", "GRANULARITY", "DIRTY", "STATE");
            for (BitmapView view : views) {
                table.row(
                        ImageCommands.printable(view.name()),
                        Quantities.size(view.granularityBytes()),
                        view.dirtyBytes() < 0 ? "unknown" : Quantities.size(view.dirtyBytes()),
                        view.state());
            }
            table.print(screen);
        }
    }

    @Command(name = "add", description = "Marks what is changed on a disk from now on.")
    private static final class Add extends OfDisk {
        @Parameters(index = "1", paramLabel = "NAME", description = "What to call the bitmap.")
        private String name = "";

        @Option(
                names = "--granularity",
                paramLabel = "S",
                defaultValue = "64K",
                converter = Quantities.Size.class,
                description = "What one bit stands for: a power of two, 512 to 1G (default: 64K).")
        private long granularityBytes;

        Add(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            tell(client.post(path(), new BitmapAdd(name, granularityBytes), BitmapView[].class));
        }
    }

    @Command(name = "ls", description = "Lists a disk's bitmaps.")
    private static final class Ls extends OfDisk {
        Ls(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            tell(client.get(path(), BitmapView[].class));
        }
    }

    @Command(name = "remove", description = "Removes a bitmap.")
    private static final class Remove extends DaemonCommand {
        @Parameters(index = "0", paramLabel = "DISK", description = "The disk.")
        private String disk = "";

        @Parameters(index = "1", paramLabel = "NAME", description = "The bitmap.")
        private String name = "";

        Remove(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String path = DiskCommands.path(Names.checked("disk", disk)) + "/bitmaps/" + DaemonClient.segment(name);
            client.send("DELETE", path, null);
            screen.print("bitmap " + ImageCommands.printable(name) + " of disk " + disk + " is removed");
        }
    }

    @Command(name = "clear", description = "Marks all as clean, also in a bitmap that is inconsistent.")
    private static final class Clear extends OfDisk {
        @Parameters(index = "1", paramLabel = "NAME", description = "The bitmap.")
        private String name = "";

        Clear(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String path = path() + "/" + DaemonClient.segment(name) + "/clear";
            tell(client.post(path, null, BitmapView[].class));
        }
    }
}
