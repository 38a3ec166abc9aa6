package dev.ferry.nbd.client;

import dev.ferry.block.BlockException;
import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.nbd.wire.ExportReport;
import dev.ferry.reactor.EventLoop;
import java.util.List;

/**
 * What a server says of itself and of its exports.
 *
 * @param fixedNewstyle it takes options
 * @param structuredReplies it can send structured replies
 * @param extendedHeaders it can do with lengths of 64 bits, and does
 * @param tls it was asked through TLS
 * @param exports the exports that were asked for
 */
public record NbdInfo(
        boolean fixedNewstyle,
        boolean structuredReplies,
        boolean extendedHeaders,
        boolean tls,
        List<ExportReport> exports) {
    /**
     * Asks a server for the export that the URI names. Blocks; not to be called on a loop.
     *
     * @throws BlockException with one clear line
     */
    public static NbdInfo ask(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        return of(Negotiation.run(loop, uri, settings, ClientHandshake.Purpose.ASK));
    }

    /**
     * Asks a server for all of its exports. Blocks; not to be called on a loop.
     *
     * @throws BlockException with one clear line
     */
    public static NbdInfo list(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        return of(Negotiation.run(loop, uri, settings, ClientHandshake.Purpose.LIST));
    }

    private static NbdInfo of(Negotiation.Result result) {
        ClientHandshake handshake = result.handshake();
        return new NbdInfo(
                handshake.fixedNewstyle(),
                handshake.replies().chunks(),
                handshake.replies().extended(),
                handshake.isSecured(),
                List.copyOf(handshake.reports()));
    }
}
