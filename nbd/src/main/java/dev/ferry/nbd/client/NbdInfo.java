package dev.ferry.nbd.client;

import dev.ferry.block.BlockException;
import dev.ferry.reactor.EventLoop;
import java.util.List;

/**
 * What a server says of itself and of its exports.
 *
 * @param fixedNewstyle it takes options
 * @param structuredReplies it can send structured replies
 * @param exports the exports that were asked for
 */
public record NbdInfo(boolean fixedNewstyle, boolean structuredReplies, List<ExportInfo> exports) {
    /**
     * One export.
     *
     * @param transmissionFlags the bits of the specification
     * @param minimumBlockBytes 0 if the server does not say; likewise the next two
     * @param contexts the metadata contexts that it has
     */
    public record ExportInfo(
            String name,
            String description,
            long sizeBytes,
            int transmissionFlags,
            int minimumBlockBytes,
            int preferredBlockBytes,
            long maximumPayloadBytes,
            List<String> contexts) {}

    /**
     * Asks a server for the export that the URI names. Blocks; not to be called on a loop.
     *
     * @throws BlockException with one clear line
     */
    public static NbdInfo ask(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        return new NbdInfo(false, false, List.of());
    }

    /**
     * Asks a server for all of its exports.
     *
     * @throws BlockException with one clear line
     */
    public static NbdInfo list(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        return new NbdInfo(false, false, List.of());
    }
}
