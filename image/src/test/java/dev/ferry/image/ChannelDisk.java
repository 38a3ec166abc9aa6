package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Set;

/** A real file that may grow, for tests with other programs; every request ends inline. */
public final class ChannelDisk implements BlockDevice {
    private static final long BOUND_BYTES = 1L << 50;

    private final FileChannel channel;

    public ChannelDisk(Path path) throws IOException {
        channel = FileChannel.open(
                path, Set.of(StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE));
    }

    private interface Action {
        void run() throws IOException;
    }

    private void end(String operation, Completion completion, Action action) {
        BlockError error = null;
        try {
            action.run();
        } catch (IOException failed) {
            error = BlockError.of(ErrorKind.IO, "file", operation, String.valueOf(failed.getMessage()));
        }
        completion.complete(error);
    }

    @Override
    public Geometry geometry() {
        return Geometry.ofBytes(BOUND_BYTES);
    }

    @Override
    public Capabilities capabilities() {
        return new Capabilities(false, false, false, false, false, false, false);
    }

    @Override
    public long lengthBytes() {
        try {
            return channel.size();
        } catch (IOException failed) {
            throw new IllegalStateException(failed);
        }
    }

    @Override
    public void resize(long lengthBytes, Completion completion) {
        end("resize", completion, () -> {
            if (lengthBytes < channel.size()) {
                channel.truncate(lengthBytes);
            } else if (lengthBytes > channel.size()) {
                channel.write(ByteBuffer.allocate(1), lengthBytes - 1);
            }
        });
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        end("read", completion, () -> {
            ByteBuffer into = buffer.segment().asSlice(at, length).asByteBuffer();
            while (into.hasRemaining()) {
                if (channel.read(into, offset + into.position()) < 0) {
                    throw new IOException("past the end");
                }
            }
        });
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        end("write", completion, () -> {
            ByteBuffer from = buffer.segment().asSlice(at, length).asByteBuffer();
            while (from.hasRemaining()) {
                channel.write(from, offset + from.position());
            }
        });
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
        completion.complete(null);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close(Completion completion) {
        end("close", completion, channel::close);
    }
}
