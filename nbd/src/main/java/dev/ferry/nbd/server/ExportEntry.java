package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Geometry;
import dev.ferry.nbd.transport.Transport;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * An export and the clients that use it. Connections are touched on the export's loop only; what is final, and the
 * count of clients, from anywhere.
 */
final class ExportEntry {
    private static final int SECTOR_BYTES = 512;

    private final Export export;
    private final ExportFacts facts;
    private final NbdServer server;
    private final List<MetadataContext> deviceContexts;
    private final AtomicInteger places = new AtomicInteger();
    private final AtomicInteger clients = new AtomicInteger();
    private final Set<Connection> connections = new HashSet<>();
    private final List<Runnable> whenGone = new ArrayList<>();
    private boolean removed;

    ExportEntry(NbdServer server, Export export) {
        this.server = server;
        this.export = export;
        this.facts = factsOf(export);
        this.deviceContexts =
                List.of(MetadataContext.allocation(export.device()), MetadataContext.depth(export.device()));
    }

    String name() {
        return export.name();
    }

    Export export() {
        return export;
    }

    ExportFacts facts() {
        return facts;
    }

    int clients() {
        return clients.get();
    }

    /** What can be told of its ranges now; base:allocation first. Any thread. */
    List<MetadataContext> contexts() {
        List<MetadataContext> all = new ArrayList<>(deviceContexts);
        all.addAll(export.contexts().get());
        return all;
    }

    /** A place for one more client; false if there is none. Any thread. */
    boolean takePlace(int placesMax) {
        if (places.incrementAndGet() <= placesMax) {
            return true;
        }
        places.decrementAndGet();
        return false;
    }

    void giveUpPlace() {
        places.decrementAndGet();
    }

    /** What is true of this device, and nothing more. */
    private static ExportFacts factsOf(Export export) {
        BlockDevice device = export.device();
        Geometry geometry = device.geometry();
        Capabilities can = device.capabilities();
        boolean readOnly = export.readOnly() || can.readOnly();
        // One disk lives on one loop, so that a flush on any connection covers what all of them have written.
        int flags = Nbd.FLAG_HAS_FLAGS | Nbd.FLAG_SEND_FLUSH | Nbd.FLAG_CAN_MULTI_CONN | Nbd.FLAG_SEND_CACHE;
        flags |= can.fua() ? Nbd.FLAG_SEND_FUA : 0;
        flags |= can.rotational() ? Nbd.FLAG_ROTATIONAL : 0;
        flags |= readOnly ? Nbd.FLAG_READ_ONLY : 0;
        flags |= !readOnly && can.discard() ? Nbd.FLAG_SEND_TRIM : 0;
        flags |= !readOnly && can.zero() ? Nbd.FLAG_SEND_WRITE_ZEROES | Nbd.FLAG_SEND_FAST_ZERO : 0;
        int block = geometry.blockSizeBytes();
        int preferred = Math.max(Math.max(block, SECTOR_BYTES), geometry.preferredBytes());
        int payload = Math.max(Math.min(geometry.maxTransferBytes(), Geometry.MAX_TRANSFER_BYTES), preferred);
        // Clients can't name the bytes of a short last block.
        long size = geometry.sizeBytes() & -block;
        return new ExportFacts(export.name(), export.description(), size, flags, block, preferred, payload);
    }

    /** A client comes from the handshake. */
    void enter(
            Transport transport, SessionTerms terms, byte[] early, ServerSettings settings, ConnectionMemory memory) {
        if (removed) {
            transport.close();
            memory.release();
            server.connectionClosed();
            return;
        }
        Connection connection = new Connection(this, transport, terms, settings, memory);
        connections.add(connection);
        clients.incrementAndGet();
        server.used();
        connection.start(early);
    }

    /** A client has gone. */
    void left(Connection connection) {
        connections.remove(connection);
        giveUpPlace();
        clients.decrementAndGet();
        server.userGone();
        tellIfGone();
    }

    /** Sends all clients away and lets nobody in any more. */
    void remove(Runnable gone) {
        removed = true;
        whenGone.add(gone);
        for (Connection connection : List.copyOf(connections)) {
            connection.leave();
        }
        tellIfGone();
    }

    private void tellIfGone() {
        if (removed && connections.isEmpty()) {
            List<Runnable> told = List.copyOf(whenGone);
            whenGone.clear();
            told.forEach(Runnable::run);
        }
    }
}
