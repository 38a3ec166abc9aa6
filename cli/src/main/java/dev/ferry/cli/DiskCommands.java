package dev.ferry.cli;

import dev.ferry.server.api.DiskView;
import dev.ferry.server.client.DaemonClient;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry disk}: virtual disks; those of its commands that look and remove. */
@Command(
        name = "disk",
        description = "Virtual disks: makes, lists, attaches and removes them.",
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
                .addSubcommand(new AttachCommands.Attach(screen))
                .addSubcommand(new AttachCommands.Detach(screen));
    }

    static String path(String name) {
        return "/v1/disks/" + DaemonClient.segment(name);
    }

    @Command(name = "ls", description = "Lists all disks.")
    private static final class Ls implements Callable<Integer> {
        private final Screen screen;

        @Mixin
        private final DaemonOptions daemon = new DaemonOptions();

        @Option(names = "--json", description = "As JSON: an array.")
        private boolean json;

        Ls(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            try (DaemonClient client = daemon.client()) {
                List<DiskView> views = List.of(client.get("/v1/disks", DiskView[].class));
                if (json) {
                    screen.json(views);
                    return Ferry.DONE;
                }
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
            return Ferry.DONE;
        }
    }

    @Command(name = "show", description = "Shows one disk.")
    private static final class Show implements Callable<Integer> {
        private final Screen screen;

        @Mixin
        private final DaemonOptions daemon = new DaemonOptions();

        @Parameters(paramLabel = "NAME", description = "The disk.")
        private String name = "";

        @Option(names = "--json", description = "As JSON: an object.")
        private boolean json;

        Show(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            String checked = Names.checked("disk", name);
            try (DaemonClient client = daemon.client()) {
                DiskView view = client.get(path(checked), DiskView.class);
                if (json) {
                    screen.json(view);
                } else {
                    print(view);
                }
            }
            return Ferry.DONE;
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
        }
    }

    @Command(name = "rm", description = "Deletes a disk and its file. It must not be attached, nor on the move.")
    private static final class Rm implements Callable<Integer> {
        private final Screen screen;

        @Mixin
        private final DaemonOptions daemon = new DaemonOptions();

        @Parameters(paramLabel = "NAME", description = "The disk.")
        private String name = "";

        Rm(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            String checked = Names.checked("disk", name);
            try (DaemonClient client = daemon.client()) {
                client.send("DELETE", path(checked), null);
            }
            screen.print("disk " + checked + " is deleted");
            return Ferry.DONE;
        }
    }
}
