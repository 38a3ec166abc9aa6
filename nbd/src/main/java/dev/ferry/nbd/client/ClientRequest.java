package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.Nbd;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One request of a client to its server; pooled by its device, and handed to one connection after another if need be. */
final class ClientRequest {
    /** Where it is in the table of requests; part of its cookie. */
    final int index;

    final Coverage coverage = new Coverage();
    int type;
    int flags;
    long cookie;
    long offset;
    long length;

    /** Of a long zero: what follows after this piece. */
    long restBytes;

    /** The connection that has it; null while it waits for one. */
    @Nullable
    ClientLink link;

    /** True from when it is put on the wire until it is answered. */
    boolean inFlight;

    long sentNanos;

    /** How often its connection was lost. */
    int losses;

    /** Which batch of the outbox it left with. */
    long batch;

    int at;

    // ---- of BLOCK_STATUS
    /** Which of the device's contexts it is about. */
    int context;

    /** Contexts that have been answered, as bits. */
    long contextsSeen;

    long statusNext;

    @Nullable
    IoBuffer buffer;

    /** Of a write whose bytes lie in a file: its descriptor, otherwise -1. */
    int file = -1;

    long filePosition;

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
        return Objects.requireNonNull(buffer);
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
