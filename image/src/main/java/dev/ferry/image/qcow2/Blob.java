package dev.ferry.image.qcow2;

/** Bytes that are kept as they are. */
final class Blob {
    static final Blob EMPTY = new Blob(new byte[0]);

    private final byte[] bytes;

    /** @param bytes not changed any more */
    Blob(byte[] bytes) {
        this.bytes = bytes;
    }

    byte[] bytes() {
        return bytes;
    }
}
