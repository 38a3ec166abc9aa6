package dev.ferry.nbd.wire;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/** Builds messages by hand, big-endian, right or wrong. */
public final class Bytes {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

    public static Bytes empty() {
        return new Bytes();
    }

    public Bytes u8(int value) {
        bytes.write(value);
        return this;
    }

    public Bytes u16(int value) {
        return u8(value >> 8).u8(value);
    }

    public Bytes u32(long value) {
        return u16((int) (value >> 16)).u16((int) value);
    }

    public Bytes u64(long value) {
        return u32(value >> 32).u32(value);
    }

    public Bytes raw(byte... value) {
        bytes.writeBytes(value);
        return this;
    }

    public Bytes zeroes(int count) {
        return raw(new byte[count]);
    }

    /** A text without its length. */
    public Bytes text(String text) {
        return raw(text.getBytes(StandardCharsets.UTF_8));
    }

    /** The length of a text, then the text. */
    public Bytes string(String text) {
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        return u32(encoded.length).raw(encoded);
    }

    public byte[] done() {
        return bytes.toByteArray();
    }

    // ---- what clients say

    public Bytes option(int option, byte... data) {
        return u64(Nbd.OPTION_MAGIC).u32(option).u32(data.length).raw(data);
    }

    /** INFO or GO, with kinds of information. */
    public Bytes info(int option, String name, int... kinds) {
        Bytes data = empty().string(name).u16(kinds.length);
        for (int kind : kinds) {
            data.u16(kind);
        }
        return option(option, data.done());
    }

    /** LIST_META_CONTEXT or SET_META_CONTEXT. */
    public Bytes contexts(int option, String name, String... queries) {
        Bytes data = empty().string(name).u32(queries.length);
        for (String query : queries) {
            data.string(query);
        }
        return option(option, data.done());
    }

    public Bytes extendedRequest(int flags, int type, long cookie, long offset, long length) {
        return u32(Nbd.EXTENDED_REQUEST_MAGIC)
                .u16(flags)
                .u16(type)
                .u64(cookie)
                .u64(offset)
                .u64(length);
    }

    public Bytes request(int flags, int type, long cookie, long offset, long length) {
        return u32(Nbd.REQUEST_MAGIC)
                .u16(flags)
                .u16(type)
                .u64(cookie)
                .u64(offset)
                .u32(length);
    }

    // ---- what servers say

    public Bytes greeting(int flags) {
        return u64(Nbd.GREETING_MAGIC).u64(Nbd.OPTION_MAGIC).u16(flags);
    }

    public Bytes optionReply(int option, int type, byte... data) {
        return u64(Nbd.OPTION_REPLY_MAGIC)
                .u32(option)
                .u32(type)
                .u32(data.length)
                .raw(data);
    }

    public Bytes simpleReply(int error, long cookie) {
        return u32(Nbd.SIMPLE_REPLY_MAGIC).u32(error).u64(cookie);
    }

    public Bytes chunk(int flags, int type, long cookie, byte... payload) {
        return u32(Nbd.STRUCTURED_REPLY_MAGIC)
                .u16(flags)
                .u16(type)
                .u64(cookie)
                .u32(payload.length)
                .raw(payload);
    }
}
