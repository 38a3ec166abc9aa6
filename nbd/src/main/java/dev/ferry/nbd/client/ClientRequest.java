package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.Nbd;
import org.jspecify.annotations.Nullable;

/** One request of a client to its server; pooled by its link. */
final class ClientRequest {
    /** Where it is in the link's table; part of its cookie. */
    final int index;

    final Coverage coverage = new Coverage();
    int type;
    int flags;
    long cookie;
    long offset;
    int length;

    /** Of a long zero: what follows after this piece. */
    long restBytes;

    boolean inFlight;

    /** Which batch of the outbox it left with. */
    long batch;

    int at;
    boolean statusSeen;
    long statusNext;

    @Nullable
    IoBuffer buffer;

    @Nullable
    ExtentSink sink;

    @Nullable
    Completion completion;

    @Nullable
    BlockError error;

    @Nullable
    ClientRequest next;

    ClientRequest(int index) {
        this.index = index;
    }

    IoBuffer buffer() {
        return java.util.Objects.requireNonNull(buffer);
    }

    /** What errors call it. */
    String operation() {
        return switch (type) {
            case Nbd.CMD_READ -> "read";
            case Nbd.CMD_WRITE -> "write";
            case Nbd.CMD_WRITE_ZEROES -> "zero";
            case Nbd.CMD_FLUSH -> "flush";
            default -> "extents";
        };
    }
}
