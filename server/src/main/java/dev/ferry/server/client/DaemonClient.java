package dev.ferry.server.client;

import dev.ferry.server.api.Json;
import dev.ferry.server.api.Problem;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Speaks with the daemon of a data directory. Every refusal is a {@link ProblemException} whose message is one line; one of
 * kind {@link ProblemKind#UNAVAILABLE} means that there is no daemon, or that it went away.
 *
 * <p><b>Thread.</b> One at a time. The connection is made when it is first needed and again after a loss.
 */
public final class DaemonClient implements AutoCloseable {
    private final Path socket;
    private final Path data;
    private @Nullable HttpConnection connection;

    /**
     * @param data the data directory, as the user knows it
     * @param socket the daemon's socket in it
     */
    public DaemonClient(Path data, Path socket) {
        this.data = data;
        this.socket = socket;
    }

    public <T> T get(String path, Class<T> type) throws ProblemException {
        return Json.read(exchange("GET", path, null), type);
    }

    public <T> T post(String path, Object body, Class<T> type) throws ProblemException {
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
        HttpConnection.Answer answer;
        try {
            answer = carry(method, path, content);
        } catch (IOException lost) {
            close();
            throw new ProblemException(
                    ProblemKind.UNAVAILABLE,
                    "the ferry daemon at " + data + " went away in the middle of a request (" + lost.getMessage()
                            + "); see its log, and try again",
                    lost);
        }
        if (answer.status() / 100 == 2) {
            return answer.content();
        }
        throw refusal(answer);
    }

    private HttpConnection.Answer carry(String method, String path, byte[] content)
            throws IOException, ProblemException {
        HttpConnection kept = connection;
        if (kept != null) {
            try {
                return kept.exchange(method, path, content);
            } catch (IOException stale) {
                close();
                if (!method.equals("GET")) {
                    throw stale;
                }
            }
        }
        HttpConnection fresh = connect();
        connection = fresh;
        return fresh.exchange(method, path, content);
    }

    private HttpConnection connect() throws ProblemException {
        try {
            return HttpConnection.open(socket);
        } catch (IOException nobody) {
            throw new ProblemException(
                    ProblemKind.UNAVAILABLE,
                    "no ferry daemon at " + data + ": start one with 'ferry serve --data " + data + "'",
                    nobody);
        }
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
        HttpConnection kept = connection;
        connection = null;
        if (kept != null) {
            kept.close();
        }
    }
}
