package dev.ferry.cli;

import dev.ferry.server.api.DiskView;
import dev.ferry.server.api.LayerView;
import dev.ferry.server.client.DaemonClient;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Parameters;

/** {@code ferry disk}: virtual disks; those of its commands that look and remove. */
@Command(
        name = "disk",
        description = "Virtual disks: makes, lists, attaches and removes them; what has changed on them.",
        synopsisSubcommandLabel = "COMMAND")
final class DiskCommands {

    private DiskCommands() {}

    static CommandLine of(Screen screen) {
        return new CommandLine(new DiskCommands())
                .addSubcommand(new DiskMakingCommands.Create(screen))
                .addSubcommand(new DiskMakingCommands.Import(screen))
                .addSubcommand(new Ls(screen))
                .addSubcommand(new Show(screen))
                .addSubcommand(new Rm(screen))
                .addSubcommand(new DiskChainCommands.Commit(screen))
                .addSubcommand(new DiskChainCommands.Stream(screen))
                .addSubcommand(DiskChainCommands.jobs(screen))
                .addSubcommand(new AttachCommands.Attach(screen))
                .addSubcommand(new AttachCommands.Detach(screen))
                .addSubcommand(BitmapCommands.of(screen));
    }

    static String path(String name) {
        return "/v1/disks/" + DaemonClient.segment(name);
    }

    @Command(name = "ls", description = "Lists all disks.")
    private static final class Ls extends DaemonCommand.WithJson {
        Ls(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            List<DiskView> views = List.of(client.get("/v1/disks", DiskView[].class));
            tell(views, () -> print(views));
        }

        private void print(List<DiskView> views) {
            Table table = new Table("NAME", "DATASTORE", "FORMAT", "SIZE", "ALLOCATED", "STATE");
            for (DiskView view : views) {
                table.row(
                        view.name(),
                        view.datastore(),
                        view.format() + " " + view.provisioning(),
                        Quantities.size(view.sizeBytes()),
                        Quantities.size(view.allocatedBytes()),
                        view.state());
            }
            table.print(screen);
        }
    }

    @Command(name = "show", description = "Shows one disk.")
    private static final class Show extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "NAME", description = "The disk.")
        private String name = "";

        Show(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("disk", name);
            DiskView view = client.get(path(checked), DiskView.class);
            tell(view, () -> print(view));
        }

        private void print(DiskView view) {
            screen.print("name       " + screen.bold(view.name()));
            screen.print("datastore  " + view.datastore());
            screen.print("format     " + view.format() + ", " + view.provisioning());
            screen.print("size       " + Quantities.size(view.sizeBytes()) + " (" + view.sizeBytes() + " bytes)");
            screen.print("allocated  " + Quantities.size(view.allocatedBytes()));
            screen.print("state      " + view.state() + (view.problem() == null ? "" : ": " + view.problem()));
            screen.print("path       " + view.path());
            if (view.uri() != null) {
                screen.print("uri        " + view.uri());
            }
            List<LayerView> chain = view.chain();
            if (chain != null && chain.size() > 1) {
                screen.print("");
                ChainTable.of(chain).print(screen);
            }
        }
    }

    @Command(name = "rm", description = "Deletes a disk and its file. It must not be attached, nor on the move.")
    private static final class Rm extends DaemonCommand {
        @Parameters(paramLabel = "NAME", description = "The disk.")
        private String name = "";

        Rm(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("disk", name);
            client.send("DELETE", path(checked), null);
            screen.print("disk " + checked + " is deleted");
        }
    }
}
