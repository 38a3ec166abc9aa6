package dev.ferry.device;

import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.reactor.Errno;

/** Turns error numbers of the kernel into errors that callers can decide on. */
final class FileErrors {
    private FileErrors() {}

    static ErrorKind kind(int number) {
        return switch (Math.abs(number)) {
            case Errno.ENOSPC, Errno.EDQUOT, Errno.EFBIG -> ErrorKind.NO_SPACE;
            case Errno.EROFS -> ErrorKind.READ_ONLY;
            case Errno.EACCES, Errno.EPERM -> ErrorKind.ACCESS;
            case Errno.ENOENT, Errno.ENOTDIR -> ErrorKind.NOT_FOUND;
            case Errno.EBUSY, Errno.ETXTBSY -> ErrorKind.BUSY;
            case Errno.EINVAL -> ErrorKind.INVALID;
            case Errno.EOPNOTSUPP, Errno.ENOSYS -> ErrorKind.UNSUPPORTED;
            case Errno.ENOMEM, Errno.EMFILE, Errno.ENFILE -> ErrorKind.NO_MEMORY;
            case Errno.ECANCELED -> ErrorKind.CANCELLED;
            case Errno.ETIMEDOUT -> ErrorKind.TIMED_OUT;
            default -> ErrorKind.IO;
        };
    }

    static BlockError of(int number, String file, String operation, long offset, long length) {
        return BlockError.of(kind(number), file, operation, offset, length, Errno.text(number));
    }

    static BlockError of(int number, String file, String operation) {
        return BlockError.of(kind(number), file, operation, Errno.text(number));
    }
}
