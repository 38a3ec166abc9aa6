package dev.ferry.cli.vm;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.MappingIterator;
import tools.jackson.databind.json.JsonMapper;

/**
 * Ferry as its users meet it: a daemon, {@code ferry serve}, and commands that talk to it, each a process of its own
 * with a data directory of its own. Any thread.
 */
final class FerryHost implements AutoCloseable {
    private static final String MAIN = "dev.ferry.cli.Ferry";
    private static final Duration COMMAND_LIMIT = Duration.ofMinutes(4);
    private static final Duration START_LIMIT = Duration.ofMinutes(2);
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Path directory;
    private final Path log;
    private final Process serve;

    /** Starts a daemon whose data is below {@code directory}, and waits until it answers. */
    FerryHost(Path directory) throws IOException {
        this.directory = Files.createDirectories(directory);
        log = directory.resolve("serve.log");
        serve = new ProcessBuilder(command("serve"))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        awaitAnswer();
    }

    /** Runs a command that must succeed, and returns the last JSON value that it prints. */
    JsonNode json(String... arguments) {
        List<String> command = command(arguments);
        command.add("--json");
        String output =
                Programs.run(directory, COMMAND_LIMIT, command).outputOfSuccess("ferry " + String.join(" ", arguments));
        JsonNode last = null;
        try (MappingIterator<JsonNode> values = JSON.readerFor(JsonNode.class).readValues(output)) {
            while (values.hasNext()) {
                last = values.next();
            }
        }
        if (last == null) {
            throw new AssertionError("no JSON from ferry " + String.join(" ", arguments) + ": " + output);
        }
        return last;
    }

    /** Runs a command that must succeed. */
    void run(String... arguments) {
        Programs.run(directory, COMMAND_LIMIT, command(arguments))
                .outputOfSuccess("ferry " + String.join(" ", arguments));
    }

    /**
     * Kills the daemon with SIGKILL and waits until it answers again: the parent that holds its sockets starts it anew.
     *
     * @return the outage in milliseconds
     */
    long killDaemon() throws IOException {
        List<ProcessHandle> children = serve.children().toList();
        if (children.size() != 1) {
            throw new AssertionError("ferry serve should have one child, the daemon: " + children);
        }
        long begin = System.nanoTime();
        CompletableFuture<ProcessHandle> gone = children.getFirst().onExit();
        children.getFirst().destroyForcibly();
        gone.orTimeout(60, TimeUnit.SECONDS).join();
        awaitAnswer();
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
    }

    /** What the daemon has said, for the message of a failure. */
    String log() throws IOException {
        return Files.readString(log);
    }

    @Override
    public void close() {
        serve.destroy();
        try {
            if (!serve.waitFor(60, TimeUnit.SECONDS)) {
                serve.descendants().forEach(ProcessHandle::destroyForcibly);
                serve.destroyForcibly();
                throw new AssertionError("ferry serve did not end on SIGTERM");
            }
        } catch (InterruptedException e) {
            serve.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }

    private void awaitAnswer() throws IOException {
        long end = System.nanoTime() + START_LIMIT.toNanos();
        while (Programs.run(directory, COMMAND_LIMIT, command("datastore", "ls"))
                        .status()
                != 0) {
            if (!serve.isAlive() || System.nanoTime() > end) {
                throw new AssertionError("the daemon does not answer; it said: " + log());
            }
        }
    }

    private List<String> command(String... arguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "-XX:+UseSerialGC", "-Xmx256m"));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), MAIN));
        command.addAll(List.of(arguments));
        command.addAll(List.of("--data", directory.resolve("data").toString()));
        return command;
    }
}
