package dev.ferry.bench;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;

/** An NBD client that says which export it wants, and then nothing more: a guest at rest. */
final class IdleClient {
    private static final long OPTION_MAGIC = 0x49484156454F5054L;
    private static final int OPTION_GO = 7;
    private static final int REPLY_ACK = 1;
    private static final int FIXED_NEWSTYLE_NO_ZEROES = 3;
    private static final int GREETING_BYTES = 18;
    private static final int REPLY_BYTES = 20;

    private IdleClient() {}

    /** Connects to {@code nbd+unix:///EXPORT?socket=PATH} and brings the handshake to its end. */
    static SocketChannel connect(String uri) throws IOException {
        URI parsed = URI.create(uri);
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(parsed.getQuery().substring("socket=".length())));
            read(channel, GREETING_BYTES);
            byte[] name = parsed.getPath().substring(1).getBytes(StandardCharsets.UTF_8);
            ByteBuffer request = ByteBuffer.allocate(4 + 16 + 4 + name.length + 2)
                    .putInt(FIXED_NEWSTYLE_NO_ZEROES)
                    .putLong(OPTION_MAGIC)
                    .putInt(OPTION_GO)
                    .putInt(4 + name.length + 2)
                    .putInt(name.length)
                    .put(name)
                    .putShort((short) 0)
                    .flip();
            while (request.hasRemaining()) {
                channel.write(request);
            }
            int type;
            do {
                ByteBuffer reply = read(channel, REPLY_BYTES);
                type = reply.getInt(12);
                read(channel, reply.getInt(16));
                if (type < 0) {
                    throw new BenchException("the server refuses " + uri + " with " + Integer.toHexString(type));
                }
            } while (type != REPLY_ACK);
            return channel;
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    private static ByteBuffer read(SocketChannel channel, int length) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(length);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new BenchException("the server closed the connection in the handshake");
            }
        }
        return buffer.flip();
    }
}
