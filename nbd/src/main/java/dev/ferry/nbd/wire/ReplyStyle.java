package dev.ferry.nbd.wire;

/** Which headers a connection uses in the transmission phase, as the handshake has settled it. */
public enum ReplyStyle {
    /** Compact requests, simple replies. */
    SIMPLE,
    /** Compact requests; replies in chunks, simple ones where there is nothing to return. */
    STRUCTURED,
    /** Extended requests, and replies in extended chunks only. */
    EXTENDED;

    /** True if replies come in chunks. */
    public boolean chunks() {
        return this != SIMPLE;
    }

    public boolean extended() {
        return this == EXTENDED;
    }

    /** Bytes of the header of a request. */
    public int requestBytes() {
        return extended() ? TransmissionLayout.EXTENDED_REQUEST_BYTES : TransmissionLayout.REQUEST_BYTES;
    }

    /** Bytes of the header of a chunk. */
    public int chunkBytes() {
        return extended() ? TransmissionLayout.EXTENDED_CHUNK_BYTES : TransmissionLayout.CHUNK_BYTES;
    }
}
