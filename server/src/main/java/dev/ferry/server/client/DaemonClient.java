package dev.ferry.server.client;

import dev.ferry.server.api.Json;
import dev.ferry.server.api.Problem;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Speaks with the daemon of a data directory. Every refusal is a {@link ProblemException} whose message is one line; one of
 * kind {@link ProblemKind#UNAVAILABLE} means that there is no daemon, or that it went away.
 *
 * <p>A daemon that died is replaced, and its sockets are kept meanwhile (by its supervisor or by systemd). As long as
 * somebody holds them, a request that no daemon has heard, or that changes nothing, waits for the next daemon. When nobody
 * does there is nothing to wait for, and it fails at once.
 *
 * <p><b>Thread.</b> One at a time. The connection is made when it is first needed and again after a loss.
 */
public final class DaemonClient implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final Duration POLL = Duration.ofMillis(20);

    private final Path data;
    private final Path socket;
    private final List<Path> kept;
    private final Duration patience;
    private @Nullable HttpConnection connection;
    /** True if the connection has carried an answer. One that is lost afterwards says nothing of whoever listens now. */
    private boolean answered;

    /**
     * @param data the data directory, as the user knows it
     * @param socket the daemon's socket in it
     * @param kept sockets that are held open as long as there is a daemon or somebody who will start one
     */
    public DaemonClient(Path data, Path socket, List<Path> kept) {
        this(data, socket, kept, PATIENCE);
    }

    /** @param patience how long to wait for a daemon that is about to come */
    DaemonClient(Path data, Path socket, List<Path> kept, Duration patience) {
        this.data = data;
        this.socket = socket;
        this.kept = List.copyOf(kept);
        this.patience = patience;
    }

    public <T> T get(String path, Class<T> type) throws ProblemException {
        return Json.read(exchange("GET", path, null), type);
    }

    public <T> T post(String path, @Nullable Object body, Class<T> type) throws ProblemException {
        return Json.read(exchange("POST", path, body), type);
    }

    /** A request that has no content in its answer, or none that matters. */
    public void send(String method, String path, @Nullable Object body) throws ProblemException {
        byte[] _ = exchange(method, path, body);
    }

    /** One segment of a path, whatever characters are in it. */
    public static String segment(String name) {
        String encoded = URLEncoder.encode(name, StandardCharsets.UTF_8).replace("+", "%20");
        // A segment of dots alone means another place; nothing is called so, and the daemon is to say that.
        return encoded.matches("\\.+") ? encoded.replace(".", "%2E") : encoded;
    }

    private byte[] exchange(String method, String path, @Nullable Object body) throws ProblemException {
        byte[] content = body == null ? new byte[0] : Json.bytes(body);
        long sinceNanos = System.nanoTime();
        while (true) {
            try {
                return content(connection().exchange(method, path, content));
            } catch (IOException lost) {
                boolean mayBeMadeAgain = lost instanceof UnheardException || method.equals("GET");
                boolean stale = answered;
                close();
                if (!mayBeMadeAgain) {
                    throw unavailable(
                            "went away in the middle of a request (" + lost.getMessage()
                                    + "); see its log, and try again",
                            lost);
                }
                if (!stale) {
                    awaitAnother(sinceNanos, lost);
                }
            }
        }
    }

    private HttpConnection connection() throws IOException {
        HttpConnection open = connection;
        if (open == null) {
            open = HttpConnection.open(socket);
            connection = open;
        }
        return open;
    }

    private byte[] content(HttpConnection.Answer answer) throws ProblemException {
        answered = true;
        if (answer.status() / 100 == 2) {
            return answer.content();
        }
        throw refusal(answer);
    }

    /** Returns when it is worth while to try again. */
    private void awaitAnother(long sinceNanos, IOException lost) throws ProblemException {
        if (!SocketTable.holdsAny(kept)) {
            throw new ProblemException(
                    ProblemKind.UNAVAILABLE,
                    "no ferry daemon at " + data + ": start one with 'ferry serve --data " + data + "'",
                    lost);
        }
        if (System.nanoTime() - sinceNanos >= patience.toNanos()) {
            throw unavailable(
                    "has not answered for " + patience.toSeconds()
                            + " s, though it is there or is being started (" + lost.getMessage()
                            + "); see its log, and try again",
                    lost);
        }
        try {
            Thread.sleep(POLL);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw unavailable("was not waited for any longer: interrupted", lost);
        }
    }

    private ProblemException unavailable(String what, IOException lost) {
        return new ProblemException(ProblemKind.UNAVAILABLE, "the ferry daemon at " + data + " " + what, lost);
    }

    private static ProblemException refusal(HttpConnection.Answer answer) {
        try {
            Problem problem = Json.read(answer.content(), Problem.class);
            return new ProblemException(problem.kind(), problem.message());
        } catch (ProblemException notOurs) {
            return new ProblemException(
                    ProblemKind.FAILED, "the daemon answered with HTTP status " + answer.status(), notOurs);
        }
    }

    @Override
    public void close() {
        HttpConnection open = connection;
        connection = null;
        answered = false;
        if (open != null) {
            open.close();
        }
    }
}
