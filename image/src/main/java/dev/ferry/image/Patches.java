package dev.ferry.image;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The bytes of a file that is only read, and in memory what is changed of them. A change that changes nothing is none.
 *
 * <p>Thread: one at a time; once nothing is changed any more, any for what only looks at memory.
 */
public final class Patches implements FileBytes, FilePatch {
    /** More than any header that names files. */
    private static final long BYTES_MAX = 8L << 20;

    private final FileBytes file;
    private final List<Piece> pieces = new ArrayList<>();
    private long lengthBytes;

    /** A later one counts where two overlap. */
    private static final class Piece {
        private final long from;
        private final byte[] bytes;

        Piece(long from, byte[] bytes) {
            this.from = from;
            this.bytes = bytes;
        }

        long end() {
            return from + bytes.length;
        }
    }

    public Patches(FileBytes file) {
        this.file = file;
        this.lengthBytes = file.lengthBytes();
    }

    /** True if the file is to be as it is. */
    public boolean none() {
        return pieces.isEmpty() && lengthBytes == file.lengthBytes();
    }

    @Override
    public String name() {
        return file.name();
    }

    @Override
    public long lengthBytes() {
        return lengthBytes;
    }

    @Override
    public void read(long offset, byte[] into, int at, int length) throws BlockException {
        file.read(offset, into, at, length);
        for (Piece piece : pieces) {
            long from = Math.max(offset, piece.from);
            long end = Math.min(offset + length, piece.end());
            if (from < end) {
                System.arraycopy(
                        piece.bytes, (int) (from - piece.from), into, at + (int) (from - offset), (int) (end - from));
            }
        }
        int there = Math.clamp(lengthBytes - offset, 0, length);
        Arrays.fill(into, at + there, at + length, (byte) 0);
    }

    @Override
    public void write(long offset, byte[] from, int at, int length) throws BlockException {
        byte[] bytes = Arrays.copyOfRange(from, at, at + length);
        boolean longer = offset + length > lengthBytes;
        if (!longer && Arrays.equals(read(offset, length), bytes)) {
            return;
        }
        long sum = length;
        for (Piece piece : pieces) {
            sum += piece.bytes.length;
        }
        if (sum > BYTES_MAX) {
            throw BlockError.of(ErrorKind.UNSUPPORTED, name(), "rename", "what is to be changed of it is too much")
                    .toException();
        }
        pieces.add(new Piece(offset, bytes));
        lengthBytes = Math.max(lengthBytes, offset + length);
    }

    @Override
    public void resize(long newBytes) {
        lengthBytes = newBytes;
    }

    @Override
    public void flush() {}

    // ---- for who shows the file with them

    @Override
    public Part part(long offset) {
        return changedUntil(offset) > offset ? Part.MADE : Part.KEPT;
    }

    @Override
    public long partEnd(long offset, long limit) {
        long changed = changedUntil(offset);
        return changed > offset ? Math.min(changed, limit) : nextChange(offset, limit);
    }

    @Override
    public void put(long offset, int length, IoBuffer buffer, int at) {
        for (Piece piece : pieces) {
            long from = Math.max(offset, piece.from);
            long end = Math.min(offset + length, piece.end());
            if (from < end) {
                buffer.copyFrom(piece.bytes, (int) (from - piece.from), at + (int) (from - offset), (int) (end - from));
            }
        }
    }

    /** Where the change ends that a byte lies in; the byte itself if it is as it was. */
    private long changedUntil(long offset) {
        long until = offset;
        for (Piece piece : pieces) {
            if (piece.from <= offset && offset < piece.end()) {
                until = Math.max(until, piece.end());
            }
        }
        return until;
    }

    /** Where the first change begins behind a byte that is as it was, or {@code limit}. */
    private long nextChange(long offset, long limit) {
        long next = limit;
        for (Piece piece : pieces) {
            if (piece.from > offset) {
                next = Math.min(next, piece.from);
            }
        }
        return next;
    }
}
