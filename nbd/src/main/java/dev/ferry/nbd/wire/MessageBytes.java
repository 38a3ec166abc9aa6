package dev.ferry.nbd.wire;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Bytes to send in the handshake, big-endian, as they gather. */
public final class MessageBytes {
    private byte[] bytes = new byte[256];
    private int length;

    public boolean isEmpty() {
        return length == 0;
    }

    public int length() {
        return length;
    }

    /** Takes what has gathered and begins anew. */
    public byte[] take() {
        byte[] taken = Arrays.copyOf(bytes, length);
        length = 0;
        return taken;
    }

    MessageBytes u16(int value) {
        room(2);
        bytes[length++] = (byte) (value >> 8);
        bytes[length++] = (byte) value;
        return this;
    }

    MessageBytes u32(int value) {
        return u16(value >>> 16).u16(value);
    }

    MessageBytes u64(long value) {
        return u32((int) (value >>> 32)).u32((int) value);
    }

    MessageBytes zeroes(int count) {
        room(count);
        Arrays.fill(bytes, length, length + count, (byte) 0);
        length += count;
        return this;
    }

    MessageBytes raw(byte[] value) {
        room(value.length);
        System.arraycopy(value, 0, bytes, length, value.length);
        length += value.length;
        return this;
    }

    /** The length of a text, then the text. */
    MessageBytes string(String text) {
        byte[] encoded = utf8(text);
        return u32(encoded.length).raw(encoded);
    }

    static byte[] utf8(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private void room(int more) {
        if (more > bytes.length - length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, length + more));
        }
    }
}
