package dev.ferry.nbd.client;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import dev.ferry.nbd.wire.ExportFacts;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import dev.ferry.reactor.EventLoop;
import java.util.ArrayList;
import java.util.List;

/**
 * An export of an NBD server, as a device. Lives on one loop; any number of requests may be in flight, over one connection
 * or several.
 *
 * <p>Everything the server sends is checked. What makes no sense ends the connection, and so does the server's going
 * away. What becomes of requests then is in the settings: without {@link ClientSettings#reconnectMax} all requests in flight
 * and all later ones fail with {@link ErrorKind#UNAVAILABLE}; with it they wait for the server, and what it had not
 * answered is sent again. A discard is sent as WRITE_ZEROES that may leave a hole, because TRIM promises nothing of what
 * is read afterwards, and every device of Ferry promises zeroes.
 */
public final class NbdClientDevice implements BlockDevice {
    /** Zeroes go out in pieces of at most this where lengths have 32 bits; a multiple of every block size. */
    private static final long ZERO_PIECE_BYTES = 1 << 30;

    private static final long STATUS_BYTES_MAX = 1L << 31;

    private final NbdUri uri;
    private final SessionTerms terms;
    private final LinkGroup links;
    private final Geometry geometry;
    private final Capabilities capabilities;
    private final int allocation;
    private final int connections;
    private final boolean sendsFiles;

    private NbdClientDevice(
            EventLoop loop,
            NbdUri uri,
            ClientSettings settings,
            SessionTerms terms,
            int connections,
            boolean sendsFiles) {
        this.sendsFiles = sendsFiles;
        this.uri = uri;
        this.terms = terms;
        this.connections = connections;
        this.links = new LinkGroup(loop, uri, settings, terms, connections);
        this.allocation = links.contexts().indexOf(Nbd.BASE_ALLOCATION);
        ExportFacts facts = terms.export();
        this.geometry = new Geometry(
                facts.sizeBytes(), facts.minimumBlockBytes(), facts.preferredBlockBytes(), facts.maximumPayloadBytes());
        boolean zero = has(Nbd.FLAG_SEND_WRITE_ZEROES);
        this.capabilities = new Capabilities(
                has(Nbd.FLAG_READ_ONLY),
                has(Nbd.FLAG_SEND_FUA),
                zero,
                zero && has(Nbd.FLAG_SEND_FAST_ZERO),
                zero,
                allocation >= 0,
                has(Nbd.FLAG_ROTATIONAL));
    }

    /**
     * Connects and negotiates. Blocks; not to be called on a loop.
     *
     * @throws BlockException with one clear line; its kind is UNAVAILABLE if there is no server, NOT_FOUND if it has no
     *     such export, CORRUPT if it is no NBD server, ACCESS if it is not the server that it should be
     */
    public static NbdClientDevice open(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        List<Negotiation.Result> results = new ArrayList<>();
        try {
            Negotiation.Result first = Negotiation.use(loop, uri, settings);
            results.add(first);
            SessionTerms terms = first.handshake().terms();
            if (allowsSeveral(terms)) {
                addOthers(results, loop, uri, settings);
            }
            boolean sendsFiles = first.usable().sendsFiles();
            NbdClientDevice device = new NbdClientDevice(loop, uri, settings, terms, results.size(), sendsFiles);
            List<Negotiation.Result> all = List.copyOf(results);
            results.clear();
            loop.execute(() -> device.links.begin(all));
            return device;
        } finally {
            results.forEach(Negotiation.Result::close);
        }
    }

    private static boolean allowsSeveral(SessionTerms terms) {
        return (terms.export().transmissionFlags() & Nbd.FLAG_CAN_MULTI_CONN) != 0;
    }

    /** As many more as are wanted, or as the server has places for. */
    private static void addOthers(List<Negotiation.Result> results, EventLoop loop, NbdUri uri, ClientSettings settings)
            throws BlockException {
        while (results.size() < settings.connections()) {
            try {
                results.add(Negotiation.use(loop, uri, settings));
            } catch (BlockException refused) {
                if (refused.kind() == ErrorKind.CANCELLED || refused.kind() == ErrorKind.CLOSED) {
                    throw refused;
                }
                return;
            }
        }
    }

    /** True if the server keeps several connections in step, so that what one has flushed holds for what all have written. */
    public boolean allowsSeveral() {
        return allowsSeveral(terms);
    }

    /** How many connections it has when none is lost. */
    public int connections() {
        return connections;
    }

    /** The metadata contexts that the server has of those that were wanted, {@code base:allocation} among them. */
    public List<String> contexts() {
        return links.contexts();
    }

    /** What was agreed on with the server. */
    public SessionTerms terms() {
        return terms;
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        ClientRequest request = links.request(Nbd.CMD_READ, 0, offset, length, completion);
        request.buffer = buffer;
        request.at = at;
        links.submit(request);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        ClientRequest request = links.request(Nbd.CMD_WRITE, fua(flags), offset, length, completion);
        request.buffer = buffer;
        request.at = at;
        links.submit(request);
    }

    @Override
    public boolean writesFiles() {
        return sendsFiles;
    }

    @Override
    public void writeFile(long offset, FileRange from, int length, int flags, Completion completion) {
        if (!sendsFiles) {
            BlockDevice.super.writeFile(offset, from, length, flags, completion);
            return;
        }
        ClientRequest request = links.request(Nbd.CMD_WRITE, fua(flags), offset, length, completion);
        request.file = from.descriptor();
        request.filePosition = from.position();
        links.submit(request);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (!capabilities.zero() || ((flags & RequestFlags.FAST_ZERO) != 0 && !capabilities.fastZero())) {
            completion.complete(BlockError.of(
                    ErrorKind.UNSUPPORTED, uri.toString(), "zero", offset, length, "the server has no such zeroes"));
            return;
        }
        int wire = fua(flags)
                | ((flags & RequestFlags.NO_HOLE) != 0 ? Nbd.CMD_FLAG_NO_HOLE : 0)
                | ((flags & RequestFlags.FAST_ZERO) != 0 ? Nbd.CMD_FLAG_FAST_ZERO : 0);
        // In pieces also where lengths have 64 bits: another connection may take over, and have only 32.
        long piece = Math.min(length, ZERO_PIECE_BYTES);
        ClientRequest request = links.request(Nbd.CMD_WRITE_ZEROES, wire, offset, piece, completion);
        request.restBytes = length - piece;
        links.submit(request);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        writeZeroes(offset, length, flags & RequestFlags.FUA, completion);
    }

    @Override
    public void flush(Completion completion) {
        if (!has(Nbd.FLAG_SEND_FLUSH)) {
            // A server without flush has no cache that it could lose.
            completion.complete(null);
            return;
        }
        links.submit(links.request(Nbd.CMD_FLUSH, 0, 0, 0, completion));
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (allocation < 0) {
            sink.extent(offset, length, 0);
            completion.complete(null);
            return;
        }
        status(allocation, offset, length, sink, completion);
    }

    /**
     * Describes a range as {@link #extents} does, by another metadata context.
     *
     * @param context one of {@link #contexts}
     * @param sink gets the server's status, 32 bits whose meaning is the context's
     */
    public void status(String context, long offset, long length, ExtentSink sink, Completion completion) {
        int place = links.contexts().indexOf(context);
        if (place < 0) {
            completion.complete(BlockError.of(
                    ErrorKind.UNSUPPORTED,
                    uri.toString(),
                    "status",
                    offset,
                    length,
                    "the server has no context " + context));
            return;
        }
        status(place, offset, length, sink, completion);
    }

    private void status(int context, long offset, long length, ExtentSink sink, Completion completion) {
        long asked = Math.min(length, STATUS_BYTES_MAX - geometry.blockSizeBytes());
        ClientRequest request = links.request(Nbd.CMD_BLOCK_STATUS, 0, offset, asked, completion);
        request.sink = sink;
        request.context = context;
        links.submit(request);
    }

    @Override
    public void close(Completion completion) {
        links.close(completion);
    }

    @Override
    public String toString() {
        return uri.toString();
    }

    private boolean has(int flag) {
        return (terms.export().transmissionFlags() & flag) != 0;
    }

    private int fua(int flags) {
        return (flags & RequestFlags.FUA) != 0 && has(Nbd.FLAG_SEND_FUA) ? Nbd.CMD_FLAG_FUA : 0;
    }
}
