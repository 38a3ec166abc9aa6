package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.server.Export;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.nbd.server.NbdServer;
import dev.ferry.nbd.server.ServerSettings;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.server.supervise.Keeper;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * How VMs reach disks: one unix socket for all disks, and a TCP port for each disk that is to have one. A port serves its
 * own disk and no other. Every listening socket is also with the keeper, under the names {@code nbd} and {@code
 * disk-NAME}, so that clients of a daemon that went away wait for the next one instead of being refused.
 *
 * <p>Any thread; serialised.
 */
final class Exports {
    private static final Logger LOG = LoggerFactory.getLogger(Exports.class);
    private static final String SHARED = "nbd";
    private static final String OWN = "disk-";
    private static final long GONE_SECONDS_MAX = 30;

    private final Path socket;
    private final EventLoop loop;
    private final Keeper keeper;
    private final NbdServer shared = new NbdServer(ServerSettings.DEFAULT);
    private final Map<String, Port> ports = new HashMap<>();
    private NbdServer.@Nullable Listener listener;

    /** A TCP port of one disk. */
    private record Port(NbdServer server, NbdServer.Listener listener, NbdUri uri) {}

    Exports(Path socket, EventLoop loop, Keeper keeper) {
        this.socket = socket;
        this.loop = loop;
        this.keeper = keeper;
    }

    /** Begins to accept connections to the shared socket. Disks that clients may ask for at once are to be added before. */
    synchronized void listen() throws IOException {
        int descriptor = keeper.take(SHARED);
        if (descriptor >= 0 && !Files.exists(socket)) {
            Linux.close(descriptor);
            descriptor = -1;
        }
        if (descriptor < 0) {
            Files.deleteIfExists(socket);
            descriptor = Sockets.listenUnix(socket);
            Files.setPosixFilePermissions(socket, PosixFilePermissions.fromString("rw-------"));
            keeper.store(SHARED, descriptor);
        }
        for (String unwanted : keeper.untaken()) {
            Linux.close(keeper.take(unwanted));
            keeper.forget(unwanted);
        }
        listener = shared.listen(loop, descriptor);
    }

    /**
     * Lets clients have a disk.
     *
     * @param contexts what else can be told of its ranges, now
     * @param tcp {@code HOST:PORT}, or null for the shared socket
     */
    synchronized NbdUri add(OpenDisk disk, Supplier<List<MetadataContext>> contexts, @Nullable String tcp)
            throws BlockException, ProblemException {
        Export export = Export.of(
                        disk.name(),
                        disk.front(),
                        disk.loop().events(),
                        disk.loop().buffers())
                .withContexts(contexts);
        if (tcp == null) {
            shared.add(export);
            return new NbdUri.Unix(socket, disk.name());
        }
        InetSocketAddress address = address(tcp);
        int descriptor = keeper.take(OWN + disk.name());
        try {
            if (descriptor < 0) {
                descriptor = Sockets.listenTcp(address);
                keeper.store(OWN + disk.name(), descriptor);
            }
            NbdUri uri = new NbdUri.Tcp(address.getHostString(), Sockets.localPort(descriptor), disk.name());
            NbdServer server = new NbdServer(ServerSettings.DEFAULT);
            server.add(export);
            ports.put(disk.name(), new Port(server, server.listen(loop, descriptor), uri));
            return uri;
        } catch (IOException failed) {
            if (descriptor >= 0) {
                Linux.close(descriptor);
            }
            if (failed instanceof BlockException block) {
                throw block;
            }
            throw Problems.conflict("disk " + disk.name() + " cannot be reached at " + tcp + ": " + failed.getMessage()
                    + "; choose another address");
        }
    }

    /** Reads {@code HOST:PORT} or {@code [HOST]:PORT}; port 0 means one that is free. */
    static InetSocketAddress address(String tcp) throws ProblemException {
        int colon = tcp.lastIndexOf(':');
        String host = colon > 0 ? tcp.substring(0, colon) : "";
        String port = tcp.substring(colon + 1);
        if (host.isEmpty() || !port.matches("[0-9]{1,5}") || Integer.parseInt(port) > 65535) {
            throw Problems.wrongUsage("'" + tcp + "' is not an address; write HOST:PORT, such as 127.0.0.1:10809");
        }
        String bare = host.startsWith("[") && host.endsWith("]") ? host.substring(1, host.length() - 1) : host;
        InetSocketAddress address = new InetSocketAddress(bare, Integer.parseInt(port));
        if (address.isUnresolved()) {
            throw Problems.wrongUsage("there is no host '" + bare + "'; write an address of this machine");
        }
        return address;
    }

    /** Sends the clients of a disk away, and waits until nothing of them uses it any more. */
    void remove(String name) throws ProblemException {
        CountDownLatch gone = new CountDownLatch(1);
        synchronized (this) {
            Port port = ports.remove(name);
            if (port != null) {
                port.listener().close();
                forget(OWN + name);
                port.server().shutdown(gone::countDown);
            } else if (!shared.remove(name, gone::countDown)) {
                gone.countDown();
            }
        }
        await(gone, "requests of disk " + name + " do not end");
    }

    private void forget(String name) {
        try {
            keeper.forget(name);
        } catch (IOException failed) {
            LOG.warn("the listening socket {} is held on to: {}", name, failed.getMessage());
        }
    }

    /** Accepts nobody any more, and sends everybody away; listening sockets stay open where they are kept. */
    void shutdown() throws ProblemException {
        CountDownLatch gone;
        synchronized (this) {
            gone = new CountDownLatch(1 + ports.size());
            if (listener != null) {
                listener.close();
            }
            ports.values().forEach(port -> port.listener().close());
            shared.shutdown(gone::countDown);
            ports.values().forEach(port -> port.server().shutdown(gone::countDown));
        }
        await(gone, "requests of clients do not end");
    }

    private static void await(CountDownLatch gone, String otherwise) throws ProblemException {
        try {
            if (!gone.await(GONE_SECONDS_MAX, TimeUnit.SECONDS)) {
                throw new ProblemException(
                        ProblemKind.FAILED, otherwise + "; the storage below may have stopped to answer");
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
