package dev.ferry.server;

import dev.ferry.server.inventory.DatastoreRow;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.server.rest.RestServer;
import dev.ferry.server.rest.Router;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Does once, on things of its own, what a daemon that takes over will have to do quickly: so that libraries are loaded
 * and code is warm before guests wait for it.
 */
final class Rehearsal {
    private Rehearsal() {}

    static void run(DataDirectory data) throws IOException {
        Path stage =
                data.scratch().resolve("rehearsal-" + ProcessHandle.current().pid());
        Files.createDirectory(stage);
        Path file = stage.resolve("inventory.db");
        Path socket = stage.resolve("s");
        try {
            try (Inventory inventory = Inventory.open(file)) {
                inventory.add(new DatastoreRow("stage", "dir", stage.toString()));
                new Datastores(inventory).list();
                inventory.disks();
                inventory.attachments();
            }
            RestServer rest = new RestServer(socket, new Router());
            rest.start();
            rest.close();
        } finally {
            for (Path left : List.of(file, socket, stage)) {
                Files.deleteIfExists(left);
            }
        }
    }
}
