package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import java.util.Arrays;

/** A file that is open on a loop, as the blocking code that opens, makes and checks images sees it. */
final class DeviceBytes implements FileBytes {
    private static final int PIECE_BYTES = 1 << 20;

    private final Loop loop;
    private final BlockDevice file;
    private final String name;
    private final IoBuffer piece = IoBuffer.allocate(PIECE_BYTES);

    /** @param file one that takes any offset and length */
    DeviceBytes(Loop loop, BlockDevice file, String name) {
        this.loop = loop;
        this.file = file;
        this.name = name;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long lengthBytes() {
        return file.lengthBytes();
    }

    @Override
    public void read(long offset, byte[] into, int at, int length) throws BlockException {
        int there = Math.clamp(file.lengthBytes() - offset, 0, length);
        for (int done = 0, run; done < there; done += run) {
            run = Math.min(PIECE_BYTES, there - done);
            long from = offset + done;
            int bytes = run;
            OnLoop.await(loop, end -> file.read(from, piece, 0, bytes, end));
            piece.copyTo(0, into, at + done, run);
        }
        Arrays.fill(into, at + there, at + length, (byte) 0);
    }

    @Override
    public void write(long offset, byte[] from, int at, int length) throws BlockException {
        if (offset + length > file.lengthBytes()) {
            resize(offset + length);
        }
        for (int done = 0, run; done < length; done += run) {
            run = Math.min(PIECE_BYTES, length - done);
            piece.copyFrom(from, at + done, 0, run);
            long to = offset + done;
            int bytes = run;
            OnLoop.await(loop, end -> file.write(to, piece, 0, bytes, 0, end));
        }
    }

    @Override
    public void extend(long offset, byte[] bytes) throws BlockException {
        piece.copyFrom(bytes, 0, 0, bytes.length);
        OnLoop.await(loop, end -> file.write(offset, piece, 0, bytes.length, 0, end));
        resize(offset + bytes.length);
    }

    @Override
    public void resize(long lengthBytes) throws BlockException {
        OnLoop.await(loop, end -> file.resize(lengthBytes, end));
    }

    @Override
    public void flush() throws BlockException {
        OnLoop.await(loop, file::flush);
    }
}
