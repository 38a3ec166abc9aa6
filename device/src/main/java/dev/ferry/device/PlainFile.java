package dev.ferry.device;

import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.Linux;
import java.nio.file.Path;

/**
 * A regular file as a tool reads and writes it that serves nobody meanwhile: through the page cache, each call in the thread
 * that makes it, with no trip through a loop. It has the locks of a sole writer.
 *
 * <p>Any thread, several at once, but for {@link #close}. Calls block. Offsets and lengths are bytes.
 */
public final class PlainFile implements AutoCloseable {
    private final String name;
    private final int file;

    private PlainFile(String name, int file) {
        this.name = name;
        this.file = file;
    }

    /**
     * Opens a file that exists, for reading and writing.
     *
     * @param name what errors call it
     * @throws BlockException of kind BUSY if another program writes to it
     */
    public static PlainFile open(Path path, String name) throws BlockException {
        int file = Linux.open(path.toString(), Linux.O_RDWR, 0);
        PlainFile opened = new PlainFile(name, file);
        opened.check(file, "open");
        try {
            opened.check(ImageLock.takeForWriting(file, ImageLock.PATIENCE_NANOS), "open");
            return opened;
        } catch (BlockException failed) {
            Linux.close(file);
            throw failed;
        }
    }

    private void check(int result, String operation) throws BlockException {
        if (result < 0) {
            throw FileErrors.of(result, name, operation).toException();
        }
    }

    public long lengthBytes() throws BlockException {
        long end = Linux.seek(file, 0, Linux.SEEK_END);
        check((int) Math.min(end, 0), "look at");
        return end;
    }

    /**
     * Reads what is there.
     *
     * @return bytes read; fewer than asked for where the file ends
     */
    public int read(long offset, IoBuffer buffer, int at, int length) throws BlockException {
        int done = 0;
        while (done < length) {
            int result = Linux.pread(file, buffer.address() + at + done, length - done, offset + done);
            if (result == 0) {
                break;
            }
            done += transferred(result, "read", offset, length);
        }
        return done;
    }

    /** Writes; past the end the file grows. */
    public void write(long offset, IoBuffer buffer, int at, int length) throws BlockException {
        int done = 0;
        while (done < length) {
            int result = Linux.pwrite(file, buffer.address() + at + done, length - done, offset + done);
            done += transferred(result, "write", offset, length);
        }
    }

    private int transferred(int result, String operation, long offset, int length) throws BlockException {
        if (result < 0 && result != -Errno.EINTR) {
            throw FileErrors.of(result, name, operation, offset, length).toException();
        }
        return Math.max(result, 0);
    }

    /** Makes the file longer, by zeroes, or shorter. */
    public void resize(long lengthBytes) throws BlockException {
        check(Linux.truncate(file, lengthBytes), "resize");
    }

    /** Makes durable what was written. */
    public void flush() throws BlockException {
        check(Linux.dataSync(file), "flush");
    }

    @Override
    public void close() throws BlockException {
        ImageLock.release(file);
        check(Linux.close(file), "close");
    }

    @Override
    public String toString() {
        return name;
    }
}
