package dev.ferry.stack.convert;

import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.PlainFile;
import dev.ferry.image.FileBytes;
import java.util.Arrays;

/** The file of a new image, as what writes the tables of its format sees it. One thread at a time. */
final class WriterBytes implements FileBytes {
    private static final int PIECE_BYTES = 64 << 10;

    private final PlainFile file;
    private final IoBuffer piece = IoBuffer.allocate(PIECE_BYTES);

    WriterBytes(PlainFile file) {
        this.file = file;
    }

    @Override
    public String name() {
        return file.toString();
    }

    @Override
    public long lengthBytes() {
        try {
            return file.lengthBytes();
        } catch (BlockException unseen) {
            throw new IllegalStateException(unseen);
        }
    }

    @Override
    public void read(long offset, byte[] into, int at, int length) throws BlockException {
        Arrays.fill(into, at, at + length, (byte) 0);
        for (int done = 0; done < length; done += PIECE_BYTES) {
            int run = file.read(offset + done, piece, 0, Math.min(PIECE_BYTES, length - done));
            piece.copyTo(0, into, at + done, run);
        }
    }

    @Override
    public void write(long offset, byte[] from, int at, int length) throws BlockException {
        for (int done = 0; done < length; done += PIECE_BYTES) {
            int run = Math.min(PIECE_BYTES, length - done);
            piece.copyFrom(from, at + done, 0, run);
            file.write(offset + done, piece, 0, run);
        }
    }

    @Override
    public void resize(long lengthBytes) throws BlockException {
        file.resize(lengthBytes);
    }

    @Override
    public void flush() throws BlockException {
        file.flush();
    }
}
