package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.ArrayDeque;
import java.util.concurrent.CompletableFuture;

/**
 * A disk from a stream, or to one: one piece after the other, with some of them under way at the device. Blocks; called on
 * a thread of the control plane.
 */
final class Piping {
    private static final int PIECES = 8;

    private final Loop loop;
    private final BlockDevice device;
    private final int pieceBytes;
    private final ArrayDeque<Piece> underWay = new ArrayDeque<>();
    private final ArrayDeque<Piece> idle = new ArrayDeque<>();

    private static final class Piece {
        private final IoBuffer buffer;
        private int length;
        private CompletableFuture<Boolean> end = CompletableFuture.completedFuture(true);

        Piece(int bytes) {
            buffer = IoBuffer.allocate(bytes);
        }
    }

    Piping(Loop loop, BlockDevice device) {
        this.loop = loop;
        this.device = device;
        this.pieceBytes = Math.min(1 << 20, device.geometry().maxTransferBytes());
        for (int i = 0; i < PIECES; i++) {
            idle.add(new Piece(pieceBytes));
        }
    }

    /** Writes all of the device to a stream. */
    void to(OutputStream out) throws IOException {
        long sizeBytes = device.geometry().sizeBytes();
        byte[] bytes = new byte[pieceBytes];
        long asked = 0;
        while (asked < sizeBytes || !underWay.isEmpty()) {
            while (asked < sizeBytes && !idle.isEmpty()) {
                Piece piece = idle.removeFirst();
                long offset = asked;
                piece.length = (int) Math.min(pieceBytes, sizeBytes - asked);
                piece.end = OnLoop.start(loop, done -> device.read(offset, piece.buffer, 0, piece.length, done));
                underWay.add(piece);
                asked += piece.length;
            }
            Piece first = await();
            first.buffer.copyTo(0, bytes, 0, first.length);
            out.write(bytes, 0, first.length);
        }
        out.flush();
    }

    /**
     * Writes a stream to the device, and makes it durable. What the stream does not reach stays as it is.
     *
     * @return how many bytes came
     */
    long from(InputStream in) throws IOException {
        byte[] bytes = new byte[pieceBytes];
        long sizeBytes = device.geometry().sizeBytes();
        int block = device.geometry().blockSizeBytes();
        long came = 0;
        int length = in.readNBytes(bytes, 0, pieceBytes);
        while (length > 0) {
            // The end of the stream may lie in the middle of a block; the rest of the block is zeroes.
            int whole = (int) Math.min((length + block - 1L) / block * block, sizeBytes - came);
            if (whole < length) {
                throw BlockError.of(
                                ErrorKind.NO_SPACE,
                                device.toString(),
                                "copy",
                                "it holds " + sizeBytes + " bytes, and more is coming")
                        .toException();
            }
            write(came, bytes, length, whole);
            came += length;
            length = in.readNBytes(bytes, 0, pieceBytes);
        }
        while (!underWay.isEmpty()) {
            await();
        }
        OnLoop.await(loop, device::flush);
        return came;
    }

    private void write(long offset, byte[] bytes, int length, int whole) throws BlockException {
        Piece piece = idle.isEmpty() ? null : idle.removeFirst();
        while (piece == null) {
            await();
            piece = idle.removeFirst();
        }
        Piece taken = piece;
        taken.buffer.copyFrom(bytes, 0, 0, length);
        taken.buffer.zero(length, whole - length);
        boolean zero = taken.buffer.isZero(0, whole);
        taken.end = OnLoop.start(loop, done -> {
            if (zero) {
                device.writeZeroes(offset, whole, 0, done);
            } else {
                device.write(offset, taken.buffer, 0, whole, 0, done);
            }
        });
        underWay.add(taken);
    }

    /** Waits for the piece that has been under way for the longest. */
    private Piece await() throws BlockException {
        Piece first = underWay.removeFirst();
        OnLoop.join(first.end);
        idle.add(first);
        return first;
    }
}
