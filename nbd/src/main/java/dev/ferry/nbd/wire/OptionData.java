package dev.ferry.nbd.wire;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** Reads the data of an option or of a reply to one, and never past its end: what is not there makes it malformed. */
final class OptionData {
    private final byte[] bytes;
    private int at;
    private boolean malformed;

    OptionData(byte[] bytes) {
        this.bytes = bytes;
    }

    /** The same data, from its beginning. */
    OptionData again() {
        return new OptionData(bytes);
    }

    /** True if something was read that was not there, or a string that is none. */
    boolean malformed() {
        return malformed;
    }

    int remaining() {
        return bytes.length - at;
    }

    int u16() {
        return (int) unsigned(2);
    }

    long u32() {
        return unsigned(4);
    }

    long u64() {
        return unsigned(8);
    }

    private long unsigned(int count) {
        if (remaining() < count) {
            malformed = true;
            return 0;
        }
        long value = 0;
        for (int i = 0; i < count; i++) {
            value = value << 8 | (bytes[at++] & 0xff);
        }
        return value;
    }

    /** A string of the protocol: at most 4096 bytes of UTF-8 without NUL. */
    String string(long length) {
        if (length > remaining() || length > Nbd.STRING_BYTES_MAX) {
            malformed = true;
            return "";
        }
        String text = decode(bytes, at, (int) length);
        at += (int) length;
        if (text == null) {
            malformed = true;
            return "";
        }
        return text;
    }

    private static @Nullable String decode(byte[] bytes, int from, int length) {
        try {
            String text = StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes, from, length))
                    .toString();
            return text.indexOf('\0') >= 0 ? null : text;
        } catch (CharacterCodingException e) {
            return null;
        }
    }
}
