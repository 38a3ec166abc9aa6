package dev.ferry.cli.demo;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** Goes over a whole disk in large pieces, several in flight: fills it, or compares it with the model. Used once. */
final class Sweep {
    static final int PIECE_BYTES = 256 << 10;
    private static final int PIECES_IN_FLIGHT = 8;
    private static final int BLOCKS = PIECE_BYTES / GuestModel.BLOCK_BYTES;

    private final Loop loop;
    private final BlockDevice disk;
    private final GuestModel model;
    private final CompletableFuture<Boolean> done = new CompletableFuture<>();
    /** Percent of the pieces that are written; -1: all are read. */
    private final int fillPercent;

    private int nextPiece;
    private int inFlight;
    private long wrongBlocks;
    private @Nullable BlockError failure;

    private Sweep(Loop loop, BlockDevice disk, GuestModel model, int fillPercent) {
        this.loop = loop;
        this.disk = disk;
        this.model = model;
        this.fillPercent = fillPercent;
    }

    /** Writes to about so much of the disk, here and there, and leaves the rest alone. */
    static void fill(Loop loop, BlockDevice disk, GuestModel model, int percent) throws BlockException {
        new Sweep(loop, disk, model, percent).run();
    }

    /** Reads all of the disk; gives how many blocks are not as the model has them. */
    static long compare(Loop loop, BlockDevice disk, GuestModel model) throws BlockException {
        Sweep sweep = new Sweep(loop, disk, model, -1);
        sweep.run();
        return sweep.wrongBlocks;
    }

    private void run() throws BlockException {
        OnLoop.run(loop, () -> {
            for (int i = 0; i < PIECES_IN_FLIGHT; i++) {
                new Piece().next();
            }
        });
        OnLoop.join(done);
    }

    private void over() {
        if (inFlight > 0) {
            return;
        }
        if (failure == null) {
            done.complete(true);
        } else {
            done.completeExceptionally(failure.toException());
        }
    }

    private boolean wanted(int piece) {
        return fillPercent < 0 || Long.remainderUnsigned(GuestModel.mix(piece), 100) < fillPercent;
    }

    private final class Piece {
        private final IoBuffer buffer = IoBuffer.allocate(PIECE_BYTES);
        private final Completion completion = this::ended;
        private int piece;

        void next() {
            int pieces = model.blocks() / BLOCKS;
            while (nextPiece < pieces && !wanted(nextPiece)) {
                nextPiece++;
            }
            if (nextPiece >= pieces || failure != null) {
                over();
                return;
            }
            piece = nextPiece++;
            inFlight++;
            long offset = (long) piece * PIECE_BYTES;
            if (fillPercent < 0) {
                disk.read(offset, buffer, 0, PIECE_BYTES, completion);
            } else {
                for (int i = 0; i < BLOCKS; i++) {
                    model.fillNext(buffer, i * GuestModel.BLOCK_BYTES, piece * BLOCKS + i);
                }
                disk.write(offset, buffer, 0, PIECE_BYTES, 0, completion);
            }
        }

        private void ended(@Nullable BlockError error) {
            inFlight--;
            if (error != null) {
                failure = error;
            } else {
                for (int i = 0; i < BLOCKS; i++) {
                    int block = piece * BLOCKS + i;
                    if (fillPercent >= 0) {
                        model.written(block);
                    } else if (!model.holds(buffer, i * GuestModel.BLOCK_BYTES, block)) {
                        wrongBlocks++;
                    }
                }
            }
            next();
        }
    }
}
