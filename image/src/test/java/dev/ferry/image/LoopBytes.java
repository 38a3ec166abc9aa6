package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.testkit.OnLoop;
import java.util.Arrays;
import java.util.function.Consumer;

/** A device as blocking code sees it, in tests. */
public final class LoopBytes implements FileBytes {
    private final Loop loop;
    private final BlockDevice device;

    public LoopBytes(Loop loop, BlockDevice device) {
        this.loop = loop;
        this.device = device;
    }

    private void await(Consumer<Completion> request) throws BlockException {
        BlockError error = OnLoop.await(loop, request);
        if (error != null) {
            throw error.toException();
        }
    }

    @Override
    public String name() {
        return "test file";
    }

    @Override
    public long lengthBytes() {
        return device.lengthBytes();
    }

    @Override
    public void read(long offset, byte[] into, int at, int length) throws BlockException {
        Arrays.fill(into, at, at + length, (byte) 0);
        int there = Math.clamp(device.lengthBytes() - offset, 0, length);
        if (there > 0) {
            IoBuffer buffer = IoBuffer.allocate(there);
            await(end -> device.read(offset, buffer, 0, there, end));
            buffer.copyTo(0, into, at, there);
        }
    }

    @Override
    public void write(long offset, byte[] from, int at, int length) throws BlockException {
        IoBuffer buffer = IoBuffer.allocate(length);
        buffer.copyFrom(from, at, 0, length);
        await(end -> device.write(offset, buffer, 0, length, 0, end));
    }

    @Override
    public void resize(long lengthBytes) throws BlockException {
        await(end -> device.resize(lengthBytes, end));
    }

    @Override
    public void flush() throws BlockException {
        await(device::flush);
    }
}
