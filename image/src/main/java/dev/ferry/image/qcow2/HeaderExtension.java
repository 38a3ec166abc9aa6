package dev.ferry.image.qcow2;

import java.nio.charset.StandardCharsets;

/** A header extension as it lies in the file; what this software does not know is kept as it is. */
record HeaderExtension(int type, Blob data) {
    int paddedBytes() {
        return 8 + ((data.bytes().length + 7) & ~7);
    }

    static HeaderExtension text(int type, String text) {
        return new HeaderExtension(type, new Blob(text.getBytes(StandardCharsets.UTF_8)));
    }
}
