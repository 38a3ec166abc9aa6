package dev.ferry.nbd.client;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.EventLoop;

/** An export of an NBD server, as a device. */
@SuppressWarnings("DoNotCallSuggester")
public final class NbdClientDevice implements BlockDevice {
    private NbdClientDevice() {}

    /**
     * Connects and negotiates. Blocks; not to be called on a loop.
     *
     * @throws BlockException with one clear line
     */
    public static NbdClientDevice open(EventLoop loop, NbdUri uri, ClientSettings settings) throws BlockException {
        return new NbdClientDevice();
    }

    @Override
    public Geometry geometry() {
        throw new UnsupportedOperationException();
    }

    @Override
    public Capabilities capabilities() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void flush(Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close(Completion completion) {
        throw new UnsupportedOperationException();
    }
}
