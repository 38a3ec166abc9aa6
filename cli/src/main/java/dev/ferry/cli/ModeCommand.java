package dev.ferry.cli;

import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.Strategy;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ModeRequest;
import dev.ferry.server.client.DaemonClient;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry migration mode}: goes on with a move by another strategy. */
@Command(
        name = "mode",
        description = {
            "Goes on with a move by another strategy, while it runs: one by tracking becomes a mirror.",
            "Nothing that has been copied is lost by that; a comparison that was under way begins anew."
        })
final class ModeCommand implements Callable<Integer> {
    private final Screen screen;

    @Mixin
    private final DaemonOptions daemon = new DaemonOptions();

    @Parameters(index = "0", paramLabel = "ID", description = "The move.")
    private String id = "";

    @Parameters(index = "1", paramLabel = "MODE", description = "mirror.")
    private String mode = "";

    @Option(names = "--json", description = "Tells how the move is then, as JSON.")
    private boolean json;

    ModeCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        if (Strategy.of(mode).isEmpty()) {
            throw Problems.wrongUsage("mode '" + mode + "' is not in this version of Ferry; mirror is");
        }
        try (DaemonClient client = daemon.client()) {
            MigrationStatus status =
                    client.post(Watch.path(id) + "/mode", new ModeRequest(mode), MigrationStatus.class);
            if (json) {
                screen.json(status);
            } else {
                screen.print("migration " + status.id() + " goes on in mode " + status.mode());
            }
        }
        return Ferry.DONE;
    }
}
