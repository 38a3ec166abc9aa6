package dev.ferry.server.rest;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import dev.ferry.server.api.AttachAnswer;
import dev.ferry.server.api.AttachRequest;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.server.api.RateRequest;
import dev.ferry.server.client.DaemonClient;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The REST interface and its client, over a real unix socket. */
final class RestServerTest {
    @TempDir
    Path directory;

    private RestServer server;
    private DaemonClient client;

    @BeforeEach
    void start() throws IOException {
        Router router = new Router();
        router.add("POST", "/v1/disks/{name}/attach", "attach", request -> {
            AttachRequest body = request.body(AttachRequest.class);
            return new AttachAnswer(request.name(), "nbd://" + body.tcp());
        });
        router.add("POST", "/v1/rate", "rate", request -> request.body(RateRequest.class));
        router.add("GET", "/v1/refused", "refuse", _ -> {
            throw new ProblemException(ProblemKind.CONFLICT, "no: because");
        });
        router.add("GET", "/v1/broken", "break", _ -> {
            throw new IllegalStateException("first line\nsecond line");
        });
        router.add("DELETE", "/v1/nothing", "answer nothing", _ -> null);
        server = new RestServer(socket(), router);
        server.start();
        client = new DaemonClient(directory, socket(), List.of());
    }

    @AfterEach
    void stop() {
        client.close();
        server.close();
    }

    private Path socket() {
        return directory.resolve("ferry.sock");
    }

    @Test
    void requestsAndAnswersGoBothWays() throws ProblemException {
        String path = "/v1/disks/" + DaemonClient.segment("a b/ü+%") + "/attach";
        for (int i = 0; i < 3; i++) {
            assertThat(client.post(path, new AttachRequest("h:1"), AttachAnswer.class))
                    .isEqualTo(new AttachAnswer("a b/ü+%", "nbd://h:1"));
        }
        client.send("DELETE", "/v1/nothing", null);
    }

    @Test
    void refusalsArriveAsTheyWereMade() {
        refused("GET", "/v1/refused", null, ProblemKind.CONFLICT, "no: because");
        refused("GET", "/v1/unknown", null, ProblemKind.NOT_FOUND, "there is nothing at /v1/unknown");
        refused("POST", "/v1/refused", null, ProblemKind.WRONG_USAGE, "POST does not go with /v1/refused");
        refused("GET", "/v1/broken", null, ProblemKind.FAILED, "the daemon failed: first line; its log says more");
    }

    @Test
    void whatIsNotUnderstoodIsRefused() {
        refused("POST", "/v1/rate", Map.of("bytesPerSecond", 1, "more", 2), ProblemKind.WRONG_USAGE, null);
        refused("POST", "/v1/rate", Map.of(), ProblemKind.WRONG_USAGE, null);
        refused("POST", "/v1/rate", "text", ProblemKind.WRONG_USAGE, null);
        refused("POST", "/v1/rate", null, ProblemKind.WRONG_USAGE, null);
        refused("POST", "/v1/rate", Map.of("bytesPerSecond", "x".repeat(1 << 20)), ProblemKind.WRONG_USAGE, null);
    }

    @Test
    void onlyTheOwnerMayUseTheSocket() throws IOException {
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket())))
                .isEqualTo("rw-------");
    }

    @Test
    void aNewServerTakesTheNameOfTheOldOne() throws Exception {
        client.send("DELETE", "/v1/nothing", null);
        server.close();
        Router other = new Router();
        other.add("GET", "/v1/new", "the new one", _ -> new AttachAnswer("new", "uri"));
        server = new RestServer(socket(), other);
        server.start();
        // The kept connection is gone; the client makes another.
        assertThat(client.get("/v1/new", AttachAnswer.class).name()).isEqualTo("new");
    }

    @Test
    void withoutADaemonTheLineSaysWhatToDo() {
        client.close();
        server.close();
        refused(
                "GET",
                "/v1/refused",
                null,
                ProblemKind.UNAVAILABLE,
                "no ferry daemon at " + directory + ": start one with 'ferry serve --data " + directory + "'");
    }

    private void refused(String method, String path, @Nullable Object body, ProblemKind kind, @Nullable String line) {
        assertThatExceptionOfType(ProblemException.class)
                .isThrownBy(() -> client.send(method, path, body))
                .satisfies(problem -> {
                    assertThat(problem.kind()).isEqualTo(kind);
                    assertThat(problem.line()).doesNotContain("\n");
                    if (line != null) {
                        assertThat(problem.line()).isEqualTo(line);
                    }
                });
    }
}
