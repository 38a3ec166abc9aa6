package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.reactor.Spawn;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A host for tests: a directory, a real {@code ferry serve} in processes of its own, and commands run in this process. */
public final class FerryHost implements AutoCloseable {
    private static final int LAST_LINES = 40;
    private static final JsonMapper JSON = JsonMapper.builder().build();

    /** For whatever belongs to the host; its path is short, and it is deleted in the end. */
    public final Path directory;

    final Path data;
    private final List<String> options;
    private @Nullable Process serve;

    /** What a command did. */
    public record Result(int status, String out, String err) {
        /** It succeeded, without a word of complaint. */
        public Result done() {
            assertThat(status).as("%s%s", out, err).isZero();
            assertThat(err).isEmpty();
            return this;
        }

        /** It failed as commands are to fail: with this status, and one line that has these words in it. */
        public Result failed(int expected, String... words) {
            assertThat(err.lines()).as(err).hasSize(1);
            assertThat(err).startsWith("ferry: ");
            assertThat(List.of(words)).allSatisfy(word -> assertThat(err).contains(word));
            assertThat(status).as(err).isEqualTo(expected);
            return this;
        }

        /** What it said, in JSON. */
        public JsonNode json() {
            return JSON.readTree(out);
        }
    }

    FerryHost(String... options) throws IOException {
        // Not JUnit's: the path of a socket is to be short.
        directory = Files.createTempDirectory("ferry-test-");
        data = directory.resolve("data");
        this.options = List.of(options);
    }

    /** A host with a daemon and the datastores {@code fast} and {@code slow}. */
    public static FerryHost started(String... options) throws IOException {
        FerryHost host = new FerryHost(options);
        host.start();
        for (String name : List.of("fast", "slow")) {
            Path path = Files.createDirectory(host.directory.resolve(name));
            host.run("datastore", "add", name, "--kind", "dir", "--path", path.toString())
                    .done();
        }
        return host;
    }

    void start() throws IOException {
        serve = process("serve");
        until(() -> Files.exists(data.resolve("ferry.sock"))
                && run("datastore", "ls").status() == 0);
    }

    /** Starts a command as a process of its own; its words go to {@code NAME.log}. */
    Process process(String name) throws IOException {
        List<String> arguments = new ArrayList<>(List.of(name, "--data", data.toString()));
        arguments.addAll(options);
        return new ProcessBuilder(Installation.command(Self.Part.SUPERVISOR, arguments))
                .redirectErrorStream(true)
                .redirectOutput(log().toFile())
                .start();
    }

    Path log() {
        return directory.resolve("serve.log");
    }

    /** The last of what supervisor and daemon have said. */
    public String lastWords() {
        try {
            List<String> lines = Files.readAllLines(log());
            return String.join("\n", lines.subList(Math.max(0, lines.size() - LAST_LINES), lines.size()));
        } catch (IOException failed) {
            return failed.toString();
        }
    }

    /** The daemon itself, below the supervisor. */
    long daemonPid() {
        return serving().children().findFirst().orElseThrow().pid();
    }

    private ProcessHandle serving() {
        return Objects.requireNonNull(serve).toHandle();
    }

    /** Kills the daemon; the supervisor begins at once to start another. */
    public void killDaemon() {
        assertThat(Spawn.signal((int) daemonPid(), Spawn.SIGKILL)).isTrue();
    }

    void hangUp() {
        assertThat(Spawn.signal((int) serving().pid(), Spawn.SIGHUP)).isTrue();
    }

    /** True if supervisor or daemon have said this. */
    boolean said(String words) {
        try {
            return Files.readString(log()).contains(words);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    /** Runs a command in this process. */
    public Result run(String... arguments) {
        List<String> all = new ArrayList<>(Arrays.asList(arguments));
        boolean tool = arguments[0].equals("nbd") || arguments[0].equals("demo");
        if (!tool) {
            all.addAll(List.of("--data", data.toString()));
        }
        return bare(all.toArray(String[]::new));
    }

    /** Runs a command in this process exactly as it is written. */
    public static Result bare(String... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Screen screen = new Screen(
                new PrintStream(out, true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8),
                false);
        int status = Ferry.run(screen, arguments);
        return new Result(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    /** Waits until it holds; two minutes tell a hang. */
    public static void until(BooleanSupplier condition) {
        Awaitility.await()
                .atMost(120, TimeUnit.SECONDS)
                .pollInterval(20, TimeUnit.MILLISECONDS)
                .until(condition::getAsBoolean);
    }

    void stop() throws IOException {
        Process running = serve;
        serve = null;
        if (running == null) {
            return;
        }
        running.destroy();
        try {
            assertThat(running.waitFor(90, TimeUnit.SECONDS))
                    .as("ferry serve ends on SIGTERM")
                    .isTrue();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    @Override
    public void close() throws IOException {
        try {
            stop();
        } finally {
            try (Stream<Path> files = Files.walk(directory)) {
                for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                    Files.deleteIfExists(path);
                }
            }
        }
    }
}
