package dev.ferry.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** As much of QEMU's monitor protocol as it takes to run a mirror: commands, one at a time, and events. One thread. */
final class Qmp implements AutoCloseable {
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final SocketChannel channel;
    private final BufferedReader reader;
    private final Writer writer;
    private final ArrayDeque<JsonNode> events = new ArrayDeque<>();

    Qmp(Path socket) throws IOException {
        channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        channel.connect(UnixDomainSocketAddress.of(socket));
        reader = new BufferedReader(Channels.newReader(channel, StandardCharsets.UTF_8));
        writer = Channels.newWriter(channel, StandardCharsets.UTF_8);
        next();
        execute("qmp_capabilities", Map.of());
    }

    /** Runs a command that must succeed. */
    void execute(String command, Map<String, Object> arguments) throws IOException {
        writer.write(JSON.writeValueAsString(Map.of("execute", command, "arguments", arguments)) + "\n");
        writer.flush();
        while (true) {
            JsonNode message = next();
            if (message.has("event")) {
                events.add(message);
            } else if (message.has("error")) {
                throw new BenchException("QEMU: " + command + ": "
                        + message.path("error").path("desc").asString());
            } else {
                return;
            }
        }
    }

    /** Waits for one of the named events, and forgets what comes before it. */
    JsonNode awaitEvent(Set<String> names) throws IOException {
        while (true) {
            JsonNode event = events.isEmpty() ? next() : events.remove();
            if (names.contains(event.path("event").asString())) {
                return event;
            }
        }
    }

    private JsonNode next() throws IOException {
        String line = reader.readLine();
        if (line == null) {
            throw new BenchException("QEMU closed its monitor");
        }
        return JSON.readTree(line);
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
