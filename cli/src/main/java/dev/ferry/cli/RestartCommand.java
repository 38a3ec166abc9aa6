package dev.ferry.cli;

import dev.ferry.server.api.DaemonView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.server.client.DaemonClient;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code ferry restart}: another daemon in place of the one that runs. */
@Command(
        name = "restart",
        description = {
            "Puts a new daemon in place of the one that runs.",
            "For an upgrade. The new one starts first; guests wait only while disks change hands, and this",
            "tells how long that was. Moves go on where they were."
        })
final class RestartCommand implements Callable<Integer> {
    private static final long WAIT_NANOS_MAX = TimeUnit.SECONDS.toNanos(60);
    private static final long POLL_MILLIS = 20;

    private final Screen screen;

    @Mixin
    private final DaemonOptions daemon = new DaemonOptions();

    @Option(names = "--json", description = "Tells of the new daemon as JSON.")
    private boolean json;

    RestartCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        try (DaemonClient client = daemon.client()) {
            long old = client.get("/v1/daemon", DaemonView.class).pid();
            client.send("POST", "/v1/daemon/restart", Map.of());
            DaemonView now = await(client, old);
            if (json) {
                screen.json(now);
            } else {
                screen.print("a new daemon serves (process " + now.pid() + "); guests waited "
                        + Quantities.millis(now.outageMillis()));
            }
        }
        return Ferry.DONE;
    }

    private static DaemonView await(DaemonClient client, long old) throws ProblemException, InterruptedException {
        long sinceNanos = System.nanoTime();
        while (System.nanoTime() - sinceNanos < WAIT_NANOS_MAX) {
            try {
                DaemonView view = client.get("/v1/daemon", DaemonView.class);
                if (view.pid() != old) {
                    return view;
                }
                // The next question is to go to whoever has the socket's name then.
                client.close();
            } catch (ProblemException away) {
                if (away.kind() != ProblemKind.UNAVAILABLE) {
                    throw away;
                }
            }
            Thread.sleep(POLL_MILLIS);
        }
        throw new ProblemException(
                ProblemKind.FAILED, "the new daemon did not take over, the old one goes on; the daemon's log says why");
    }
}
