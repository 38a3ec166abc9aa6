package dev.ferry.cli;

import dev.ferry.server.api.AttachAnswer;
import dev.ferry.server.api.AttachRequest;
import dev.ferry.server.client.DaemonClient;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry disk attach} and {@code detach}. */
final class AttachCommands {
    private AttachCommands() {}

    @Command(
            name = "attach",
            description = {
                "Opens a disk and prints the NBD URI to give to the VM.",
                "It stays attached through stops, starts and crashes of the daemon until it is detached."
            },
            footer = {
                "",
                "Examples:",
                "  ferry disk attach vm1",
                "  ferry disk attach vm1 --tcp 127.0.0.1:10809",
                "",
                "With QEMU, so that a restart of the daemon costs the guest a pause and never an error:",
                "  -blockdev driver=nbd,node-name=d0,server.type=unix,server.path=DIR/nbd.sock,export=vm1,",
                "            discard=unmap,cache.direct=on,reconnect-delay=3600"
            })
    static final class Attach extends DaemonCommand.WithJson {
        @Parameters(paramLabel = "NAME", description = "The disk.")
        private String name = "";

        @Option(
                names = "--tcp",
                paramLabel = "HOST:PORT",
                description =
                        "Listen there, for this disk alone (default: the daemon's unix socket). Nothing is encrypted.")
        private @Nullable String tcp;

        Attach(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("disk", name);
            AttachAnswer answer =
                    client.post(DiskCommands.path(checked) + "/attach", new AttachRequest(tcp), AttachAnswer.class);
            tell(answer, () -> screen.print(answer.uri()));
        }
    }

    @Command(name = "detach", description = "Sends a disk's clients away, makes it durable and closes it.")
    static final class Detach extends DaemonCommand {
        @Parameters(paramLabel = "NAME", description = "The disk.")
        private String name = "";

        Detach(Screen screen) {
            super(screen);
        }

        @Override
        void ask(DaemonClient client) throws Exception {
            String checked = Names.checked("disk", name);
            client.send("POST", DiskCommands.path(checked) + "/detach", null);
            screen.print("disk " + checked + " is detached");
        }
    }
}
