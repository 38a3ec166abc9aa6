package dev.ferry.device;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.reactor.Linux;
import java.nio.file.Path;

/** A file that is made to be copied to, or made over, unless another program writes to it. Blocks. */
public final class EmptyFile {
    private static final int MODE = 0666;

    private EmptyFile() {}

    /**
     * Makes the file {@code sizeBytes} long, all zeroes and without space of its own, whatever it held.
     *
     * @throws BlockException of kind {@link ErrorKind#BUSY}, and the file is as it was, if another program writes to it; or
     *     why it cannot be made
     */
    public static void make(Path path, long sizeBytes) throws BlockException {
        String name = path.toString();
        int file = Linux.open(name, Linux.O_RDWR | Linux.O_CREAT, MODE);
        if (file < 0) {
            throw FileErrors.of(file, name, "open").toException();
        }
        try {
            if (ImageLock.takeForWriting(file, ImageLock.PATIENCE_NANOS) < 0) {
                throw BlockError.of(ErrorKind.BUSY, name, "open", "another program writes to it")
                        .toException();
            }
            int result = Linux.truncate(file, 0);
            result = result < 0 ? result : Linux.truncate(file, sizeBytes);
            if (result < 0) {
                throw FileErrors.of(result, name, "resize").toException();
            }
        } finally {
            ImageLock.release(file);
            Linux.close(file);
        }
    }
}
