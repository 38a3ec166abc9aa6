package dev.ferry.nbd.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.transport.PieceStore;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ServerHandshake;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * An NBD server: many exports behind any number of listening sockets. A connection greets on the loop of the listener
 * and, once it has named its export, moves to the export's loop. A client that names no export gets the one with the
 * empty name, or the only one there is.
 *
 * <p>Every method may be called from any thread. Specification: {@code doc/proto.md} of NetworkBlockDevice/nbd.
 */
public final class NbdServer implements ServerHandshake.Catalog {
    /** What a unix socket may hold: several large replies, so that the loop need not come back for each piece. */
    private static final int UNIX_BUFFER_BYTES = 1 << 20;

    private final ServerSettings settings;
    private final ServerTls tls;
    private final ConnectionMemory.Store memory;
    private final PieceStore greetingMemory = new PieceStore(Greeting.MEMORY_BYTES);
    private final Map<String, ExportEntry> exports = new ConcurrentSkipListMap<>();
    private final Set<Acceptor> acceptors = ConcurrentHashMap.newKeySet();
    private final Map<Greeting, EventLoop> greetings = new ConcurrentHashMap<>();
    private final AtomicInteger connections = new AtomicInteger();

    /** Listeners, connections and exports that are not gone yet; and one for the server itself. */
    private final AtomicInteger open = new AtomicInteger(1);

    private final AtomicInteger users = new AtomicInteger();
    private volatile Runnable whenUnused = () -> {};
    private final AtomicReference<@Nullable Runnable> whenDone = new AtomicReference<>();

    /** A server without TLS. */
    public NbdServer(ServerSettings settings) {
        this(settings, ServerTls.OFF);
    }

    public NbdServer(ServerSettings settings, ServerTls tls) {
        this.settings = settings;
        this.tls = tls;
        this.memory = new ConnectionMemory.Store(settings.requestsInFlightMax());
    }

    /**
     * Makes a disk known to clients. Asks its device for geometry and capabilities, which do not change, and for nothing
     * else on this thread.
     *
     * @throws BlockException with kind BUSY if the name is taken, INVALID if it is no name for an export
     */
    public void add(Export export) throws BlockException {
        checkText(export, export.name(), "name");
        checkText(export, export.description(), "description");
        if (stopping()) {
            throw refused(export, ErrorKind.CLOSED, "the server is shutting down");
        }
        open.incrementAndGet();
        if (exports.putIfAbsent(export.name(), new ExportEntry(this, export)) != null) {
            closedOne();
            throw refused(export, ErrorKind.BUSY, "there is an export of that name");
        }
    }

    private static void checkText(Export export, String text, String what) throws BlockException {
        if (text.indexOf('\0') >= 0 || text.getBytes(StandardCharsets.UTF_8).length > Nbd.STRING_BYTES_MAX) {
            throw refused(
                    export,
                    ErrorKind.INVALID,
                    "the " + what + " of an export is at most " + Nbd.STRING_BYTES_MAX + " bytes, none of them NUL");
        }
    }

    private static BlockException refused(Export export, ErrorKind kind, String detail) {
        return BlockError.of(kind, "export " + export.name(), "add", detail).toException();
    }

    /**
     * Hides an export and sends its clients away: requests in flight end and are answered, then connections close.
     *
     * @param gone runs on the export's loop when nothing of this server uses the device any more
     * @return false if there is no such export; {@code gone} then never runs
     */
    public boolean remove(String name, Runnable gone) {
        ExportEntry entry = exports.remove(name);
        if (entry == null) {
            return false;
        }
        entry.export()
                .loop()
                .execute(() -> entry.remove(() -> {
                    gone.run();
                    closedOne();
                }));
        return true;
    }

    /** Accepts connections from a listening, non-blocking socket, which belongs to the server from now on. */
    public Listener listen(EventLoop loop, int socket) {
        Acceptor acceptor = new Acceptor(this, loop, socket);
        open.incrementAndGet();
        acceptors.add(acceptor);
        loop.execute(acceptor::begin);
        if (stopping()) {
            acceptor.close();
        }
        return acceptor;
    }

    /** Connections of clients that use this export now. */
    public int connections(String name) {
        ExportEntry entry = exports.get(name);
        return entry == null ? 0 : entry.clients();
    }

    /** Connections in all, those in the handshake included. */
    public int connections() {
        return connections.get();
    }

    /**
     * Has something done each time that the last client has gone of those that used an export: one that only asked, or
     * gave up in the handshake, does not count. Runs on one of the loops.
     */
    public void onUnused(Runnable task) {
        whenUnused = task;
    }

    /**
     * Stops: closes listeners and handshakes, and removes every export as {@link #remove} does.
     *
     * @param done runs when all is closed, on one of the loops or on the caller's thread
     */
    public void shutdown(Runnable done) {
        if (!whenDone.compareAndSet(null, done)) {
            throw new IllegalStateException("the server is shutting down already");
        }
        acceptors.forEach(Acceptor::close);
        greetings.forEach((greeting, loop) -> loop.execute(greeting::abort));
        for (String name : List.copyOf(exports.keySet())) {
            remove(name, () -> {});
        }
        closedOne();
    }

    /** A socket that a server accepts connections from. */
    public interface Listener {
        /** Stops accepting and closes the server's descriptor; connections go on. Any thread. */
        void close();
    }

    // ---- the handshake's view

    @Override
    public List<ExportFacts> list() {
        return exports.values().stream().map(ExportEntry::facts).toList();
    }

    @Override
    public @Nullable ExportFacts find(String name) {
        ExportEntry entry = exports.get(name);
        if (entry == null && name.isEmpty()) {
            List<ExportEntry> all = List.copyOf(exports.values());
            entry = all.size() == 1 ? all.getFirst() : null;
        }
        return entry == null ? null : entry.facts();
    }

    @Override
    public List<String> contexts(ExportFacts export) {
        ExportEntry entry = exports.get(export.name());
        return entry == null
                ? List.of()
                : entry.contexts().stream().map(MetadataContext::name).toList();
    }

    @Override
    public boolean reserve(ExportFacts export) {
        ExportEntry entry = exports.get(export.name());
        return entry != null && entry.facts() == export && entry.takePlace(settings.clientsPerExportMax());
    }

    @Override
    public boolean stopping() {
        return whenDone.get() != null;
    }

    // ---- what happens to connections, told on their loops

    void accepted(EventLoop loop, int socket) {
        if (stopping()) {
            Linux.close(socket);
            return;
        }
        if (connections.incrementAndGet() > settings.connectionsMax()) {
            connections.decrementAndGet();
            Linux.close(socket);
            return;
        }
        open.incrementAndGet();
        if (Sockets.isUnix(socket)) {
            Sockets.bufferBytes(socket, UNIX_BUFFER_BYTES);
        } else {
            Sockets.tuneTcp(socket);
        }
        Greeting greeting;
        try {
            greeting = new Greeting(this, loop, socket, tls, greetingMemory.take());
        } catch (OutOfMemoryError none) {
            Linux.close(socket);
            connectionClosed();
            return;
        }
        greetings.put(greeting, loop);
        greeting.begin(settings.handshakeMax().toNanos());
        if (stopping()) {
            greeting.abort();
        }
    }

    /** A client has chosen, and has a place; its connection moves to where its export lives. */
    void greeted(Greeting greeting, Transport transport, SessionTerms terms, byte[] early) {
        greetings.remove(greeting);
        ExportEntry entry = exportOf(terms);
        if (entry == null) {
            transport.close();
            connectionClosed();
            return;
        }
        ConnectionMemory taken;
        try {
            taken = memory.take();
        } catch (OutOfMemoryError none) {
            transport.close();
            entry.giveUpPlace();
            connectionClosed();
            return;
        }
        EventLoop loop = entry.export().loop();
        Transport moved = transport.moveTo(loop);
        loop.execute(() -> entry.enter(moved, terms, early, settings, taken));
    }

    /** What a client was told of; null if it has gone since, though another disk may have its name now. */
    @Nullable
    ExportEntry exportOf(SessionTerms terms) {
        ExportEntry entry = exports.get(terms.export().name());
        return entry != null && entry.facts() == terms.export() ? entry : null;
    }

    /** A greeting's memory is free again. */
    void giveBack(IoBuffer greeted) {
        greetingMemory.release(greeted);
    }

    /** @param chosen what the client has a place for, if it got that far */
    void turnedAway(Greeting greeting, @Nullable SessionTerms chosen) {
        greetings.remove(greeting);
        ExportEntry entry = chosen == null ? null : exportOf(chosen);
        if (entry != null) {
            entry.giveUpPlace();
        }
        connectionClosed();
    }

    /** A client has begun to use an export. */
    void used() {
        users.incrementAndGet();
    }

    /** One that used an export has gone. */
    void userGone() {
        connectionClosed();
        if (users.decrementAndGet() == 0) {
            whenUnused.run();
        }
    }

    void connectionClosed() {
        connections.decrementAndGet();
        closedOne();
    }

    void listenerClosed(Acceptor acceptor) {
        acceptors.remove(acceptor);
        closedOne();
    }

    private void closedOne() {
        if (open.decrementAndGet() == 0) {
            Runnable done = whenDone.get();
            if (done != null) {
                done.run();
            }
        }
    }
}
