package dev.ferry.nbd.wire;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a server and a client have agreed on for the transmission phase.
 *
 * @param export the export that was chosen
 * @param replies the form of requests and replies
 * @param contexts the metadata contexts that were selected for this export
 */
public record SessionTerms(ExportFacts export, ReplyStyle replies, List<Context> contexts) {
    /**
     * A metadata context and its number on this connection.
     *
     * @param id the number, any 32 bits
     */
    public record Context(int id, String name) {}

    public SessionTerms {
        contexts = List.copyOf(contexts);
    }

    /** A context by its name; null if it was not selected. */
    public @Nullable Context context(String name) {
        for (Context context : contexts) {
            if (context.name().equals(name)) {
                return context;
            }
        }
        return null;
    }
}
