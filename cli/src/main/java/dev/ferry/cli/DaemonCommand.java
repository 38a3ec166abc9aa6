package dev.ferry.cli;

import dev.ferry.server.client.DaemonClient;
import java.util.concurrent.Callable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** A command that asks the daemon of a data directory, and tells what it answered. */
abstract class DaemonCommand implements Callable<Integer> {
    final Screen screen;

    @Mixin
    private final DaemonOptions daemon = new DaemonOptions();

    DaemonCommand(Screen screen) {
        this.screen = screen;
    }

    /** Asks; what it throws is told in one line. The connection is made with the first question. */
    abstract void ask(DaemonClient client) throws Exception;

    /** One more connection, for another thread. */
    final DaemonClient client() {
        return daemon.client();
    }

    @Override
    public final Integer call() throws Exception {
        try (DaemonClient client = daemon.client()) {
            ask(client);
        }
        return Ferry.DONE;
    }

    /** One whose answer programs may want to read. */
    abstract static class WithJson extends DaemonCommand {
        @Option(names = "--json", description = "Tells it as JSON.")
        private boolean json;

        WithJson(Screen screen) {
            super(screen);
        }

        final boolean json() {
            return json;
        }

        final void tell(Object answer, Runnable inWords) {
            if (json) {
                screen.json(answer);
            } else {
                inWords.run();
            }
        }
    }
}
