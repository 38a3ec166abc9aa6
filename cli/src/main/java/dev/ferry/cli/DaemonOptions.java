package dev.ferry.cli;

import dev.ferry.server.DataDirectory;
import dev.ferry.server.client.DaemonClient;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What every command has that speaks to the daemon. */
final class DaemonOptions {
    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "The daemon's data directory (default: FERRY_DATA, or ~/.local/share/ferry).")
    private @Nullable Path data;

    DataDirectory directory() {
        return data == null ? DataDirectory.standard(System.getenv()) : DataDirectory.of(data);
    }

    DaemonClient client() {
        return directory().client();
    }
}
