package dev.ferry.migration.copy;

import dev.ferry.filter.mirror.Mirror;

/** What a copier copies next, and whether it has anything to do. Thread: the loop's. */
public interface Agenda {
    /** A pending region that nobody holds, at or after {@code from} if there is one there; -1: none for now. */
    long next(long from);

    /** True if the copy has come to its end. */
    boolean done();

    /** When to ask again where there was nothing to be copied. */
    default long lookAgainNanos() {
        return 1_000_000;
    }

    /** Every pending region once, in the order of the disk. */
    static Agenda everything(Mirror mirror) {
        return new Agenda() {
            @Override
            public long next(long from) {
                long region = mirror.nextPending(from);
                return region < 0 && from > 0 ? mirror.nextPending(0) : region;
            }

            @Override
            public boolean done() {
                return mirror.pendingBytes() == 0;
            }
        };
    }
}
