package dev.ferry.cli;

import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.reactor.Descriptors;
import dev.ferry.reactor.Sockets;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where an NBD server listens: at what systemd hands to it (LISTEN_FDS), or at a unix socket or a TCP port. */
final class ListenOptions {
    @Option(names = "--socket", paramLabel = "P", description = "Listen at this unix socket.")
    private @Nullable Path socket;

    @Option(
            names = "--port",
            paramLabel = "N",
            description = "Listen at this TCP port (default: 10809, unless --socket is given).")
    private @Nullable Integer port;

    @Option(
            names = "--bind",
            paramLabel = "HOST",
            defaultValue = "127.0.0.1",
            description = "Address of the port (default: 127.0.0.1). Nothing is encrypted without --tls-certificates.")
    private String host = "";

    void check() throws ProblemException {
        if (socket != null && port != null) {
            throw Problems.wrongUsage("--socket and --port exclude each other; choose one");
        }
        if (port != null && (port < 0 || port > 65535)) {
            throw Problems.wrongUsage("--port is a number from 0 to 65535");
        }
    }

    /** Lets clients come, and says how they find this export. */
    NbdUri listen(NbdServer server, DataPlane plane, ServerTls security, String export)
            throws IOException, ProblemException {
        NbdUri.Tls secure = security.mode() == TlsMode.REQUIRE ? new NbdUri.Tls(null, true, null) : null;
        List<Descriptors.Inherited> given = Descriptors.inherited(System.getenv());
        if (!given.isEmpty()) {
            if (socket != null || port != null) {
                throw Problems.wrongUsage("the sockets come from systemd (LISTEN_FDS); leave out --socket and --port");
            }
            for (Descriptors.Inherited one : given) {
                server.listen(plane.listening(), Sockets.adopt(one.descriptor()));
            }
            int first = given.getFirst().descriptor();
            Path path = Sockets.localPath(first);
            return path != null
                    ? new NbdUri.Unix(path, export, secure)
                    : new NbdUri.Tcp(host, Sockets.localPort(first), export, secure);
        }
        if (socket != null) {
            Path path = socket.toAbsolutePath().normalize();
            int listener = Sockets.listenUnix(path);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
            server.listen(plane.listening(), listener);
            return new NbdUri.Unix(path, export, secure);
        }
        InetSocketAddress address = new InetSocketAddress(host, port == null ? NbdUri.DEFAULT_PORT : port);
        if (address.isUnresolved()) {
            throw new IOException("there is no host '" + host + "'");
        }
        int listener = Sockets.listenTcp(address);
        NbdUri uri = new NbdUri.Tcp(host, Sockets.localPort(listener), export, secure);
        server.listen(plane.listening(), listener);
        return uri;
    }

    /** Takes away the file of the socket, if there is one. */
    void delete() throws IOException {
        if (socket != null) {
            Files.deleteIfExists(socket);
        }
    }
}
