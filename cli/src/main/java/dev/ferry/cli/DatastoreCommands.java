package dev.ferry.cli;

import dev.ferry.server.api.DatastoreAdd;
import dev.ferry.server.api.DatastoreView;
import dev.ferry.server.client.DaemonClient;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry datastore}: where disks are kept. */
@Command(
        name = "datastore",
        description = "Where disks are kept: adds, lists, shows and removes datastores.",
        synopsisSubcommandLabel = "COMMAND")
final class DatastoreCommands {

    private DatastoreCommands() {}

    static CommandLine of(Screen screen) {
        return new CommandLine(new DatastoreCommands())
                .addSubcommand(new Add(screen))
                .addSubcommand(new Ls(screen))
                .addSubcommand(new Show(screen))
                .addSubcommand(new Rm(screen));
    }

    @Command(
            name = "add",
            description = "Makes a directory known as a datastore. It has to exist; what is in it is left alone.",
            footer = {"", "Example:  ferry datastore add fast --kind dir --path /srv/nvme"})
    private static final class Add extends DaemonCommand {
        @Parameters(paramLabel = "NAME", description = "What to call it.")
        private String name = "";

        @Option(
                names = "--kind",
                paramLabel = "KIND",
                defaultValue = "dir",
                description = "dir: a directory (default).")
        private String kind = "";

        @Option(names = "--path", paramLabel = "PATH", required = true, description = "The directory.")
        private Path path = Path.of("");

        Add(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("datastore", name);
            String absolute = path.toAbsolutePath().normalize().toString();
            DatastoreView view =
                    client.post("/v1/datastores", new DatastoreAdd(checked, kind, absolute), DatastoreView.class);
            screen.print("datastore " + view.name() + " at " + view.path() + ", " + Quantities.size(view.freeBytes())
                    + " free");
        }
    }

    @Command(name = "ls", description = "Lists all datastores.")
    private static final class Ls extends DaemonCommand.WithJson {
        Ls(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            List<DatastoreView> views = List.of(client.get("/v1/datastores", DatastoreView[].class));
            tell(views, () -> print(views));
        }

        private void print(List<DatastoreView> views) {
            Table table = new Table("NAME", "KIND", "STATE", "FREE", "TOTAL", "DISKS", "PATH");
            for (DatastoreView view : views) {
                table.row(
                        view.name(),
                        view.kind(),
                        view.state(),
                        Quantities.size(view.freeBytes()),
                        Quantities.size(view.totalBytes()),
                        Integer.toString(view.disks()),
                        view.path());
            }
            table.print(screen);
        }
    }

    @Command(name = "show", description = "Shows one datastore.")
    private static final class Show extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "NAME", description = "The datastore.")
        private String name = "";

        Show(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("datastore", name);
            DatastoreView view = client.get("/v1/datastores/" + DaemonClient.segment(checked), DatastoreView.class);
            tell(view, () -> print(view));
        }

        private void print(DatastoreView view) {
            screen.print("name   " + screen.bold(view.name()));
            screen.print("kind   " + view.kind());
            screen.print("state  " + view.state());
            screen.print("path   " + view.path());
            screen.print("free   " + Quantities.size(view.freeBytes()) + " of " + Quantities.size(view.totalBytes()));
            screen.print("disks  " + view.disks());
        }
    }

    @Command(name = "rm", description = "Forgets a datastore without disks. Its directory is left alone.")
    private static final class Rm extends DaemonCommand {
        @Parameters(paramLabel = "NAME", description = "The datastore.")
        private String name = "";

        Rm(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("datastore", name);
            client.send("DELETE", "/v1/datastores/" + DaemonClient.segment(checked), null);
            screen.print("datastore " + checked + " is forgotten");
        }
    }
}
