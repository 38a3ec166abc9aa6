package dev.ferry.nbd.wire;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The data of LIST_META_CONTEXT and SET_META_CONTEXT: the export and what is asked of it.
 *
 * <pre>
 *   name length(4) │ name │ count(4) │ { query length(4) │ query } …
 * </pre>
 *
 * <p>A query names a context, or in a list all that begin with it if it ends with a colon. One of a namespace that is not
 * known here matches nothing, and that is no error. Specification: section "Metadata querying".
 */
record ContextQueries(String export, List<String> queries) {
    private static final int QUERIES_MAX = 1024;

    /** The queries, or null if the data is malformed; {@link #tooMany} is to be asked before. */
    static @Nullable ContextQueries parse(OptionData data) {
        String export = data.string(data.u32());
        long count = data.u32();
        List<String> queries = new ArrayList<>();
        for (long i = 0; i < count && !data.malformed(); i++) {
            queries.add(data.string(data.u32()));
        }
        return data.malformed() || data.remaining() > 0 ? null : new ContextQueries(export, queries);
    }

    /** True if more is asked than anybody needs to ask. */
    static boolean tooMany(OptionData data) {
        OptionData ahead = data.again();
        ahead.string(ahead.u32());
        long count = ahead.u32();
        return !ahead.malformed() && count > QUERIES_MAX;
    }

    /** True if the context is among those that are asked for. */
    boolean match(String context, boolean listing) {
        if (listing && queries.isEmpty()) {
            return true;
        }
        for (String query : queries) {
            if (query.equals(context) || (listing && query.endsWith(":") && context.startsWith(query))) {
                return true;
            }
        }
        return false;
    }
}
