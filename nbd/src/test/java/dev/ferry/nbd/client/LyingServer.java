package dev.ferry.nbd.client;

import dev.ferry.nbd.wire.Nbd;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.function.Function;

/** A server that says what a test wants it to say, whatever it is asked. */
final class LyingServer implements AutoCloseable {
    static final long SIZE_BYTES = 1 << 20;
    static final int CONTEXT = 7;

    /** A request of a client, as it came. */
    record Asked(int type, long cookie, long offset, int length) {}

    private final ServerSocketChannel listener;
    private final byte[] handshake;
    private final Function<Asked, byte[]> answers;
    private final Thread thread;

    /**
     * @param handshake everything that it says until the transmission phase; if empty, it says nothing and waits
     * @param answers what it says to each request; an empty answer is followed by the end of the connection
     */
    LyingServer(Path socket, byte[] handshake, Function<Asked, byte[]> answers) throws IOException {
        this.handshake = handshake;
        this.answers = answers;
        listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(socket));
        thread = Thread.ofPlatform().daemon(true).start(this::serve);
    }

    private void serve() {
        while (listener.isOpen()) {
            try (SocketChannel client = listener.accept()) {
                converse(client);
            } catch (IOException expected) {
                // The client has hung up on us, as it should on a liar, or the test is over.
            }
        }
    }

    private void converse(SocketChannel client) throws IOException {
        client.write(ByteBuffer.wrap(handshake));
        DataInputStream in = new DataInputStream(Channels.newInputStream(client));
        in.readInt();
        while (true) {
            int magic = in.readInt();
            if (magic == Nbd.REQUEST_MAGIC) {
                in.readShort();
                int type = in.readShort();
                Asked asked = new Asked(type, in.readLong(), in.readLong(), in.readInt());
                if (type == Nbd.CMD_DISC) {
                    return;
                }
                if (type == Nbd.CMD_WRITE) {
                    in.skipNBytes(asked.length);
                }
                byte[] answer = answers.apply(asked);
                client.write(ByteBuffer.wrap(answer));
                if (answer.length == 0) {
                    return;
                }
            } else if (magic == (int) (Nbd.OPTION_MAGIC >>> 32)) {
                in.readInt();
                in.readInt();
                in.skipNBytes(in.readInt());
            } else {
                throw new EOFException("the client speaks nonsense: " + magic);
            }
        }
    }

    @Override
    public void close() throws IOException {
        listener.close();
        thread.interrupt();
    }

    // ---- what an honest server says

    static byte[] handshake(boolean structured) {
        return handshake(structured, SIZE_BYTES, 1, 4096, 32 << 20);
    }

    static byte[] handshake(boolean structured, long size, int minimum, int preferred, int maximum) {
        ByteBuffer out = ByteBuffer.allocate(1024);
        out.putLong(Nbd.GREETING_MAGIC).putLong(Nbd.OPTION_MAGIC).putShort((short) 3);
        option(out, Nbd.OPT_STRUCTURED_REPLY, structured ? Nbd.REP_ACK : Nbd.REP_ERR_UNSUP, new byte[0]);
        if (structured) {
            byte[] name = Nbd.BASE_ALLOCATION.getBytes(StandardCharsets.UTF_8);
            byte[] context = ByteBuffer.allocate(4 + name.length)
                    .putInt(CONTEXT)
                    .put(name)
                    .array();
            option(out, Nbd.OPT_SET_META_CONTEXT, Nbd.REP_META_CONTEXT, context);
            option(out, Nbd.OPT_SET_META_CONTEXT, Nbd.REP_ACK, new byte[0]);
        }
        int flags = Nbd.FLAG_HAS_FLAGS | Nbd.FLAG_SEND_FLUSH | Nbd.FLAG_SEND_FUA | Nbd.FLAG_SEND_WRITE_ZEROES;
        byte[] export = ByteBuffer.allocate(12)
                .putShort((short) Nbd.INFO_EXPORT)
                .putLong(size)
                .putShort((short) flags)
                .array();
        option(out, Nbd.OPT_GO, Nbd.REP_INFO, export);
        byte[] sizes = ByteBuffer.allocate(14)
                .putShort((short) Nbd.INFO_BLOCK_SIZE)
                .putInt(minimum)
                .putInt(preferred)
                .putInt(maximum)
                .array();
        option(out, Nbd.OPT_GO, Nbd.REP_INFO, sizes);
        option(out, Nbd.OPT_GO, Nbd.REP_ACK, new byte[0]);
        return taken(out);
    }

    static void option(ByteBuffer out, int option, int type, byte[] data) {
        out.putLong(Nbd.OPTION_REPLY_MAGIC)
                .putInt(option)
                .putInt(type)
                .putInt(data.length)
                .put(data);
    }

    static byte[] simple(long cookie, int error, int dataBytes) {
        return ByteBuffer.allocate(16 + dataBytes)
                .putInt(Nbd.SIMPLE_REPLY_MAGIC)
                .putInt(error)
                .putLong(cookie)
                .array();
    }

    static byte[] chunk(boolean done, int type, long cookie, byte[] payload) {
        return ByteBuffer.allocate(20 + payload.length)
                .putInt(Nbd.STRUCTURED_REPLY_MAGIC)
                .putShort((short) (done ? Nbd.REPLY_FLAG_DONE : 0))
                .putShort((short) type)
                .putLong(cookie)
                .putInt(payload.length)
                .put(payload)
                .array();
    }

    static byte[] data(boolean done, long cookie, long offset, int length, int fill) {
        byte[] payload = new byte[8 + length];
        java.util.Arrays.fill(payload, (byte) fill);
        ByteBuffer.wrap(payload).putLong(offset);
        return chunk(done, Nbd.CHUNK_OFFSET_DATA, cookie, payload);
    }

    static byte[] hole(boolean done, long cookie, long offset, int length) {
        byte[] payload = ByteBuffer.allocate(12).putLong(offset).putInt(length).array();
        return chunk(done, Nbd.CHUNK_OFFSET_HOLE, cookie, payload);
    }

    static byte[] error(boolean done, long cookie, int error, int claimedTextBytes, String text) {
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        byte[] payload = ByteBuffer.allocate(6 + encoded.length)
                .putInt(error)
                .putShort((short) claimedTextBytes)
                .put(encoded)
                .array();
        return chunk(done, Nbd.CHUNK_ERROR, cookie, payload);
    }

    static byte[] status(long cookie, int context, int... extents) {
        ByteBuffer payload = ByteBuffer.allocate(4 + extents.length * 4).putInt(context);
        for (int value : extents) {
            payload.putInt(value);
        }
        return chunk(true, Nbd.CHUNK_BLOCK_STATUS, cookie, payload.array());
    }

    static byte[] joined(byte[]... parts) {
        ByteBuffer out = ByteBuffer.allocate(1 << 20);
        for (byte[] part : parts) {
            out.put(part);
        }
        return taken(out);
    }

    private static byte[] taken(ByteBuffer out) {
        out.flip();
        byte[] bytes = new byte[out.remaining()];
        out.get(bytes);
        return bytes;
    }
}
