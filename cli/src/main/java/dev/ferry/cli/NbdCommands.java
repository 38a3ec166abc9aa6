package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdInfo;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.wire.ExportReport;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.DataPlane;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry nbd}: one-shot tools that need no daemon. */
@Command(
        name = "nbd",
        description = "One-shot tools for network block devices; they need no daemon.",
        synopsisSubcommandLabel = "COMMAND")
final class NbdCommands {

    private NbdCommands() {}

    static CommandLine of(Screen screen) {
        return new CommandLine(new NbdCommands())
                .addSubcommand(new NbdServeCommand(screen))
                .addSubcommand(new Ask(screen))
                .addSubcommand(new NbdCopyCommand(screen));
    }

    /** Opens what a one-shot tool needs of the data plane: one loop. */
    static DataPlane plane() throws BlockException {
        return DataPlane.start(1, EventLoops.Kind.AUTO);
    }

    @Command(
            name = "info",
            description = "Asks an NBD server what it exports.",
            footer = {
                "",
                "Examples:",
                "  ferry nbd info nbd://127.0.0.1/vm1",
                "  ferry nbd info --list 'nbd+unix:///?socket=/run/ferry/nbd.sock'"
            })
    private static final class Ask implements Callable<Integer> {
        private final Screen screen;

        @Parameters(paramLabel = "URI", description = "Such as nbd://HOST/NAME or nbd+unix:///NAME?socket=PATH.")
        private String uri = "";

        @Option(names = "--list", description = "All exports of the server.")
        private boolean list;

        @Option(names = "--json", description = "As JSON: an object.")
        private boolean json;

        Ask(Screen screen) {
            this.screen = screen;
        }

        @Override
        public Integer call() throws Exception {
            NbdUri parsed = NbdUri.parse(uri);
            try (DataPlane plane = plane()) {
                NbdInfo info = list
                        ? NbdInfo.list(plane.listening(), parsed, ClientSettings.DEFAULT)
                        : NbdInfo.ask(plane.listening(), parsed, ClientSettings.DEFAULT);
                if (json) {
                    screen.json(info);
                    return Ferry.DONE;
                }
                for (ExportReport export : info.exports()) {
                    print(export);
                }
                screen.print("server: " + (info.fixedNewstyle() ? "fixed newstyle" : "newstyle")
                        + (info.structuredReplies() ? ", structured replies" : ""));
            }
            return Ferry.DONE;
        }

        private void print(ExportReport export) {
            String name = export.name().isEmpty() ? "(default)" : export.name();
            screen.print("export " + screen.bold(name)
                    + (export.description().isEmpty() ? "" : ": " + export.description()));
            screen.print("  size      " + Quantities.size(export.sizeBytes()) + " (" + export.sizeBytes() + " bytes)");
            screen.print("  flags     0x" + Integer.toHexString(export.transmissionFlags()));
            if (export.minimumBlockBytes() > 0) {
                screen.print("  blocks    " + export.minimumBlockBytes() + " to "
                        + Quantities.size(export.maximumPayloadBytes()) + ", best "
                        + Quantities.size(export.preferredBlockBytes()));
            }
            List<String> contexts = export.contexts();
            if (!contexts.isEmpty()) {
                screen.print("  contexts  " + String.join(", ", contexts));
            }
        }
    }
}
