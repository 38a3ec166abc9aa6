package dev.ferry.server.rest;

import dev.ferry.block.BlockException;
import dev.ferry.server.Problems;
import dev.ferry.server.api.Json;
import dev.ferry.server.api.Problem;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.unixdomain.server.UnixDomainServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.thread.VirtualThreadPool;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * HTTP on a unix socket, each request on a virtual thread. The socket is made under a name of its own and moved to where
 * clients look for it when it is ready, so that a client finds the old one or the new one and never none.
 */
public final class RestServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(RestServer.class);
    private static final int CONTENT_BYTES_MAX = 1 << 20;

    private final Server server;
    private final Path socket;
    private final Path fresh;

    /** @param socket where clients look for it */
    public RestServer(Path socket, Router router) {
        this.socket = socket;
        this.fresh = socket.resolveSibling(
                socket.getFileName() + "." + ProcessHandle.current().pid());
        server = new Server(new VirtualThreadPool());
        HttpConfiguration configuration = new HttpConfiguration();
        configuration.setSendServerVersion(false);
        configuration.setSendDateHeader(false);
        // Names come encoded, and are matched so; whether one is a name at all is not for HTTP to say.
        configuration.setUriCompliance(UriCompliance.UNSAFE);
        UnixDomainServerConnector connector =
                new UnixDomainServerConnector(server, 1, 1, new HttpConnectionFactory(configuration));
        connector.setUnixDomainPath(fresh);
        connector.setAcceptQueueSize(64);
        server.addConnector(connector);
        server.setHandler(new Answering(router));
    }

    /** Starts to answer. */
    public void start() throws IOException {
        try {
            Files.deleteIfExists(fresh);
            server.start();
            Files.setPosixFilePermissions(fresh, PosixFilePermissions.fromString("rw-------"));
            Files.move(fresh, socket, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException failed) {
            throw failed;
        } catch (Exception failed) {
            throw new IOException("cannot listen at " + socket + ": " + failed.getMessage(), failed);
        }
    }

    /** Stops; the socket's name is left to whoever comes next. */
    @Override
    public void close() {
        try {
            server.setStopTimeout(0);
            server.stop();
        } catch (Exception failed) {
            LOG.warn("the REST server did not stop cleanly: {}", failed.toString());
        }
    }

    private static final class Answering extends Handler.Abstract {
        private final Router router;

        Answering(Router router) {
            this.router = router;
        }

        @Override
        public boolean handle(Request request, Response response, Callback callback) {
            int status;
            byte[] content;
            try {
                Object answer =
                        router.answer(request.getMethod(), request.getHttpURI().getPath(), content(request));
                status = answer == null ? 204 : 200;
                content = answer == null ? new byte[0] : Json.bytes(answer);
            } catch (Exception failed) {
                Problem problem = problem(failed);
                status = problem.kind().status();
                content = Json.bytes(problem);
            }
            response.setStatus(status);
            response.getHeaders().put(HttpHeader.CONTENT_TYPE, "application/json");
            response.getHeaders().put(HttpHeader.CONTENT_LENGTH, content.length);
            response.write(true, ByteBuffer.wrap(content), callback);
            return true;
        }

        private static byte[] content(Request request) throws IOException, ProblemException {
            try (InputStream in = Content.Source.asInputStream(request)) {
                byte[] content = in.readNBytes(CONTENT_BYTES_MAX + 1);
                if (content.length > CONTENT_BYTES_MAX) {
                    throw new ProblemException(
                            ProblemKind.WRONG_USAGE, "the request is longer than " + CONTENT_BYTES_MAX + " bytes");
                }
                return content;
            }
        }

        private static Problem problem(Exception failed) {
            if (failed instanceof ProblemException refused) {
                return refused.problem();
            }
            if (failed instanceof BlockException block) {
                return Problems.of(block).problem();
            }
            LOG.error("a request failed in a way that was not foreseen", failed);
            @Nullable String why = failed.getMessage();
            String first = why == null
                    ? failed.getClass().getSimpleName()
                    : why.lines().findFirst().orElse("");
            return new Problem(ProblemKind.FAILED, "the daemon failed: " + first + "; its log says more");
        }
    }
}
