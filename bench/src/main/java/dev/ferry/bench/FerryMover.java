package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;

/** Ferry: one daemon with O_DIRECT, whose disk goes back and forth between two datastores. */
final class FerryMover implements Mover {
    private static final String DISK = "disk";

    private final FerryDaemon daemon;
    private final String uri;
    private final List<String> how;
    private boolean atSecond;

    /** @param how options of {@code ferry migrate} */
    FerryMover(BenchOptions options, Workspace workspace, BenchFile file, String... how) throws IOException {
        this.how = List.of(how);
        daemon = new FerryDaemon(options, Files.createDirectory(workspace.path("ferry")), "--direct");
        try {
            daemon.addDatastore("first");
            daemon.addDatastore("second");
            daemon.run(
                    "disk",
                    "import",
                    DISK,
                    "--datastore",
                    "first",
                    "--from",
                    file.path().toString());
            uri = daemon.json("disk", "attach", DISK).path("uri").asString();
        } catch (IOException | RuntimeException e) {
            daemon.close();
            throw e;
        }
    }

    @Override
    public String label() {
        return "ferry";
    }

    @Override
    public String open() {
        return uri;
    }

    @Override
    public Move move() {
        // Proving the copy equal is left out, since the peers do not do it.
        List<String> command =
                new ArrayList<>(List.of("migrate", DISK, "--to", atSecond ? "first" : "second", "--no-verify"));
        command.addAll(how);
        JsonNode move = daemon.json(command.toArray(String[]::new));
        if (!move.path("state").asString().equals("done")) {
            throw new BenchException("the move ended as " + move);
        }
        atSecond = !atSecond;
        JsonNode shown = daemon.json("migration", "show", move.path("id").asString());
        double pauseMillis =
                move.path("disks").path(0).path("switchoverPauseMillis").asDouble();
        long beginMillis = Instant.parse(shown.path("startedAt").asString()).toEpochMilli();
        long endMillis = Instant.parse(shown.path("endedAt").asString()).toEpochMilli();
        return new Move(beginMillis, endMillis, move.path("seconds").asDouble(), pauseMillis);
    }

    @Override
    public void finish() {
        // The disk stays attached where it is now.
    }

    @Override
    public void close() {
        daemon.close();
    }
}
