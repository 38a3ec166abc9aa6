package dev.ferry.block;

import org.jspecify.annotations.Nullable;

/**
 * Why a request failed: a kind, on which callers decide, and a context, for people.
 *
 * @param kind what callers decide on
 * @param device the device that failed, as people know it: a path, an export, a URI
 * @param operation {@code read}, {@code write}, {@code zero}, {@code discard}, {@code flush}, {@code extents}, …
 * @param offset first byte of the request, or -1 where there is none
 * @param length bytes of the request, or -1 where there is none
 * @param detail one clause that says what went wrong, without the fields above
 * @param cause what this follows from, if anything
 */
public record BlockError(
        ErrorKind kind,
        String device,
        String operation,
        long offset,
        long length,
        String detail,
        @Nullable Throwable cause) {
    public static BlockError of(
            ErrorKind kind, String device, String operation, long offset, long length, String detail) {
        return new BlockError(kind, device, operation, offset, length, detail, null);
    }

    /** An error of something that has no range: opening, flushing, closing. */
    public static BlockError of(ErrorKind kind, String device, String operation, String detail) {
        return new BlockError(kind, device, operation, -1, -1, detail, null);
    }

    /** One line, such as {@code write of 4096 bytes at 8192 on /a/b.raw failed: no space left on device}. */
    public String message() {
        StringBuilder line = new StringBuilder(operation);
        if (length >= 0) {
            line.append(" of ").append(length).append(" bytes");
        }
        if (offset >= 0) {
            line.append(" at ").append(offset);
        }
        return line.append(" on ")
                .append(device)
                .append(" failed: ")
                .append(detail)
                .toString();
    }

    public BlockException toException() {
        return new BlockException(this);
    }
}
