package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.reactor.EventLoops;
import dev.ferry.server.DataPlane;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code ferry nbd}: one-shot tools that need no daemon. */
@Command(
        name = "nbd",
        description = "One-shot tools for network block devices; they need no daemon.",
        synopsisSubcommandLabel = "COMMAND")
final class NbdCommands {

    private NbdCommands() {}

    static CommandLine of(Screen screen, @Nullable String meant) {
        return new CommandGroup(new NbdCommands())
                .with("serve", () -> new NbdServeCommand(screen))
                .with("info", () -> new NbdInfoCommand(screen))
                .with("copy", () -> new NbdCopyCommand(screen))
                .line(meant);
    }

    /** Opens what a one-shot tool needs of the data plane: one loop. */
    static DataPlane plane() throws BlockException {
        return DataPlane.start(1, EventLoops.Kind.AUTO);
    }
}
