package dev.ferry.nbd.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.SessionTerms;
import java.util.List;

/** The metadata contexts that a client has selected, by their places: a set of them is the bits of a word. */
final class SelectedContexts {
    private final int[] ids;
    private final MetadataContext[] sources;

    SelectedContexts(List<SessionTerms.Context> selected, List<MetadataContext> offered) {
        ids = new int[selected.size()];
        sources = new MetadataContext[ids.length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = selected.get(i).id();
            sources[i] = find(selected.get(i).name(), offered);
        }
    }

    private static MetadataContext find(String name, List<MetadataContext> offered) {
        for (MetadataContext context : offered) {
            if (context.name().equals(name)) {
                return context;
            }
        }
        return new Gone(name);
    }

    /** All of them. */
    long all() {
        return ids.length == Nbd.CONTEXTS_MAX ? -1L : (1L << ids.length) - 1;
    }

    /** The one of a number, as a set; empty if it was not selected. */
    long ofId(int id) {
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] == id) {
                return 1L << i;
            }
        }
        return 0;
    }

    int id(int place) {
        return ids[place];
    }

    MetadataContext source(int place) {
        return sources[place];
    }

    /** What a client is told of a state that a context has given. */
    int statusOf(int place, int state) {
        return sources[place] instanceof DeviceContext device ? device.statusOf(state) : state;
    }

    /** A context that was there when the client selected it. */
    private record Gone(String name) implements MetadataContext {
        @Override
        public void extents(long offset, long length, ExtentSink sink, Completion completion) {
            completion.complete(BlockError.of(
                    ErrorKind.NOT_FOUND, name, "extents", offset, length, "this context is not there any more"));
        }
    }
}
