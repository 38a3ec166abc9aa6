package dev.ferry.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.MappingIterator;
import tools.jackson.databind.json.JsonMapper;

/** A daemon of Ferry's with a data directory of its own, and the commands that talk to it. */
final class FerryDaemon implements AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final String ferry;
    private final Path scratch;
    private final Path data;
    private final ServerProcess serve;

    /** Starts a daemon whose data is below {@code scratch}; {@code serveOptions} are those of {@code ferry serve}. */
    FerryDaemon(BenchOptions options, Path scratch, String... serveOptions) throws IOException {
        ferry = options.ferry();
        this.scratch = scratch;
        data = Files.createDirectory(scratch.resolve("data"));
        List<String> command = command("serve");
        command.addAll(List.of(serveOptions));
        serve = ServerProcess.until(this::answers, command, scratch.resolve("serve.log"));
    }

    /** Runs a command that must succeed and returns the last JSON value that it prints. */
    JsonNode json(String... arguments) {
        List<String> command = command(arguments);
        command.add("--json");
        JsonNode last = JSON.createObjectNode();
        try (MappingIterator<JsonNode> values =
                JSON.readerFor(JsonNode.class).readValues(Program.run(scratch, command))) {
            while (values.hasNext()) {
                last = values.next();
            }
        }
        return last;
    }

    /** Runs a command that must succeed. */
    void run(String... arguments) {
        Program.run(scratch, command(arguments));
    }

    /** Makes a datastore of a new directory. */
    void addDatastore(String name) throws IOException {
        Path path = Files.createDirectory(scratch.resolve(name));
        run("datastore", "add", name, "--kind", "dir", "--path", path.toString());
    }

    ServerProcess process() {
        return serve;
    }

    private boolean answers() {
        try {
            run("datastore", "ls");
            return true;
        } catch (BenchException e) {
            return false;
        }
    }

    private List<String> command(String... arguments) {
        List<String> command = new ArrayList<>(List.of(ferry));
        command.addAll(List.of(arguments));
        command.addAll(List.of("--data", data.toString()));
        return command;
    }

    @Override
    public void close() {
        serve.close();
    }
}
