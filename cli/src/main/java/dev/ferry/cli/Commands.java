package dev.ferry.cli;

import dev.ferry.cli.demo.DemoCommand;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The commands that there are. Each is made, and its classes loaded, when it is asked for. */
final class Commands {
    /** In the order in which people need them. */
    static final List<String> NAMES =
            List.of("demo", "serve", "restart", "datastore", "disk", "migrate", "migration", "image", "nbd", "bench");

    private Commands() {}

    /** @param meant the word behind the name, if there is one: of a group of commands only that one is made */
    static @Nullable Object create(String name, @Nullable String meant, Screen screen) {
        return switch (name) {
            case "demo" -> new DemoCommand(screen);
            case "serve" -> new ServeCommand(screen);
            case "restart" -> new RestartCommand(screen);
            case "datastore" -> DatastoreCommands.of(screen);
            case "disk" -> DiskCommands.of(screen);
            case "migrate" -> new MigrateCommand(screen);
            case "migration" -> MigrationCommands.of(screen);
            case "image" -> ImageCommands.of(screen, meant);
            case "nbd" -> NbdCommands.of(screen, meant);
            case "bench" -> new BenchCommand(screen);
            default -> null;
        };
    }
}
