package dev.ferry.image;

import dev.ferry.block.BlockException;

/** The end of a file that grows: what is appended is gathered, and written in large pieces. Blocking code; one thread. */
public final class Appender {
    private static final int PIECE_BYTES = 1 << 20;

    private final FileBytes file;
    private final byte[] piece = new byte[PIECE_BYTES];
    private long pieceOffset;
    private int inPiece;

    /** @param offset where in the file the first byte goes */
    public Appender(FileBytes file, long offset) {
        this.file = file;
        this.pieceOffset = offset;
    }

    /** Where in the file the next byte goes. */
    public long offset() {
        return pieceOffset + inPiece;
    }

    /** Appends some bytes of an array. */
    public void append(byte[] bytes, int at, int length) throws BlockException {
        for (int done = 0; done < length; ) {
            int run = Math.min(length - done, PIECE_BYTES - inPiece);
            System.arraycopy(bytes, at + done, piece, inPiece, run);
            inPiece += run;
            done += run;
            if (inPiece == PIECE_BYTES) {
                writeOut();
            }
        }
    }

    /** Appends zeroes until the offset is a multiple of a power of two. */
    public void align(int unitBytes) throws BlockException {
        int over = (int) (offset() & (unitBytes - 1));
        if (over != 0) {
            append(new byte[unitBytes - over], 0, unitBytes - over);
        }
    }

    /** Writes what is gathered. */
    public void writeOut() throws BlockException {
        if (inPiece > 0) {
            file.write(pieceOffset, piece, 0, inPiece);
            pieceOffset += inPiece;
            inPiece = 0;
        }
    }
}
