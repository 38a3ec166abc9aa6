package dev.ferry.image.qcow2;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;

/** Where a change stops: a kill, or the loss of power. */
public final class StoppingFile implements FileBytes {
    private final FileBytes file;
    private int left;

    public StoppingFile(FileBytes file, int left) {
        this.file = file;
        this.left = left;
    }

    private void step() throws BlockException {
        if (left-- == 0) {
            throw BlockError.of(ErrorKind.IO, "test", "write", "stopped").toException();
        }
    }

    @Override
    public String name() {
        return file.name();
    }

    @Override
    public long lengthBytes() {
        return file.lengthBytes();
    }

    @Override
    public void read(long offset, byte[] into, int at, int length) throws BlockException {
        file.read(offset, into, at, length);
    }

    @Override
    public void write(long offset, byte[] from, int at, int length) throws BlockException {
        step();
        file.write(offset, from, at, length);
    }

    @Override
    public void resize(long lengthBytes) throws BlockException {
        step();
        file.resize(lengthBytes);
    }

    @Override
    public void flush() throws BlockException {
        step();
        file.flush();
    }
}
