package dev.ferry.nbd.wire;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.EOFException;
import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A client that says exactly what a test wants it to say, and takes apart exactly what comes back. One thread. */
public final class RawClient implements AutoCloseable {
    /** An answer to an option. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    public record OptionReply(int option, int type, byte[] data) {
        public String text() {
            return new String(data, StandardCharsets.UTF_8);
        }
    }

    /** A simple reply ({@code type} is -1) or one chunk of another; {@code offset} is in the header of extended ones. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    public record Reply(int type, int flags, int error, long cookie, long offset, byte[] payload) {
        public boolean last() {
            return type == -1 || (flags & Nbd.REPLY_FLAG_DONE) != 0;
        }

        public ByteBuffer buffer() {
            return ByteBuffer.wrap(payload);
        }
    }

    private final SocketChannel channel;
    private boolean extended;

    public RawClient(Path socket) throws IOException {
        channel = SocketChannel.open(UnixDomainSocketAddress.of(socket));
    }

    public SocketChannel channel() {
        return channel;
    }

    public void send(Bytes message) throws IOException {
        send(message.done());
    }

    public void send(byte... message) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(message);
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
    }

    public byte[] receive(int length) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(length);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new EOFException("the server closed after " + buffer.position() + " of " + length + " bytes");
            }
        }
        return buffer.array();
    }

    /** Waits for the end of the stream; what comes before it is given back. A reset is an end too. */
    public byte[] receiveToEnd() {
        Bytes all = Bytes.empty();
        ByteBuffer buffer = ByteBuffer.allocate(1 << 16);
        try {
            while (channel.read(buffer) >= 0) {
                all.raw(Arrays.copyOf(buffer.array(), buffer.position()));
                buffer.clear();
            }
        } catch (ClosedByInterruptException interrupted) {
            throw new AssertionError("the server does not close the connection", interrupted);
        } catch (IOException reset) {
            return all.done();
        }
        return all.done();
    }

    /** The server has nothing more to say, and closes. */
    public void expectEnd() {
        assertThat(receiveToEnd()).as("bytes before the end").isEmpty();
    }

    // ---- handshake

    public RawClient greet(int flags) throws IOException {
        ByteBuffer greeting = ByteBuffer.wrap(receive(18));
        assertThat(greeting.getLong()).isEqualTo(Nbd.GREETING_MAGIC);
        assertThat(greeting.getLong()).isEqualTo(Nbd.OPTION_MAGIC);
        assertThat(greeting.getShort()).isEqualTo((short) (Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES));
        send(Bytes.empty().u32(flags));
        return this;
    }

    public RawClient greet() throws IOException {
        return greet(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    public OptionReply optionReply() throws IOException {
        ByteBuffer header = ByteBuffer.wrap(receive(20));
        assertThat(header.getLong()).as("magic").isEqualTo(Nbd.OPTION_REPLY_MAGIC);
        int option = header.getInt();
        int type = header.getInt();
        int length = header.getInt();
        assertThat(length).isBetween(0, 1 << 16);
        return new OptionReply(option, type, receive(length));
    }

    /** Asks and gives all replies up to the last: an acknowledgement or an error. */
    public List<OptionReply> ask(Bytes option) throws IOException {
        byte[] message = option.done();
        send(message);
        int asked = ByteBuffer.wrap(message).getInt(8);
        List<OptionReply> replies = new ArrayList<>();
        while (true) {
            OptionReply reply = optionReply();
            assertThat(reply.option()).isEqualTo(asked);
            replies.add(reply);
            if (reply.type() < 0 || reply.type() == Nbd.REP_ACK) {
                return replies;
            }
        }
    }

    /** Asks and gives the type of the last reply. */
    public int askType(Bytes option) throws IOException {
        return ask(option).getLast().type();
    }

    /** Goes into transmission with structured replies and base:allocation. */
    public RawClient go(String name) throws IOException {
        greet();
        assertThat(askType(Bytes.empty().option(Nbd.OPT_STRUCTURED_REPLY))).isEqualTo(Nbd.REP_ACK);
        assertThat(askType(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, name, Nbd.BASE_ALLOCATION)))
                .isEqualTo(Nbd.REP_ACK);
        assertThat(askType(Bytes.empty().info(Nbd.OPT_GO, name))).isEqualTo(Nbd.REP_ACK);
        return this;
    }

    /** Goes into transmission with simple replies only. */
    public RawClient goSimple(String name) throws IOException {
        greet();
        assertThat(askType(Bytes.empty().info(Nbd.OPT_GO, name))).isEqualTo(Nbd.REP_ACK);
        return this;
    }

    /** Goes into transmission with extended headers and contexts. */
    public RawClient goExtended(String name, String... contexts) throws IOException {
        greet();
        assertThat(askType(Bytes.empty().option(Nbd.OPT_EXTENDED_HEADERS))).isEqualTo(Nbd.REP_ACK);
        if (contexts.length > 0) {
            assertThat(ask(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, name, contexts)))
                    .hasSize(contexts.length + 1);
        }
        assertThat(askType(Bytes.empty().info(Nbd.OPT_GO, name))).isEqualTo(Nbd.REP_ACK);
        extended = true;
        return this;
    }

    // ---- transmission

    /** A request in the form that was negotiated. */
    public void request(int flags, int type, long cookie, long offset, long length, byte... data) throws IOException {
        Bytes message = extended
                ? Bytes.empty().extendedRequest(flags, type, cookie, offset, length)
                : Bytes.empty().request(flags, type, cookie, offset, length);
        send(message.raw(data));
    }

    /** One reply or chunk; {@code simpleBytes} of data follow a simple one without error. */
    public Reply reply(int simpleBytes) throws IOException {
        ByteBuffer start = ByteBuffer.wrap(receive(16));
        int magic = start.getInt();
        if (magic == Nbd.SIMPLE_REPLY_MAGIC) {
            int error = start.getInt();
            assertThat(extended).as("simple replies went with extended headers").isFalse();
            return new Reply(-1, 0, error, start.getLong(), 0, receive(error == 0 ? simpleBytes : 0));
        }
        assertThat(magic)
                .as("magic of a reply")
                .isEqualTo(extended ? Nbd.EXTENDED_REPLY_MAGIC : Nbd.STRUCTURED_REPLY_MAGIC);
        int flags = start.getShort() & 0xffff;
        int type = start.getShort() & 0xffff;
        long cookie = start.getLong();
        long offset = extended ? ByteBuffer.wrap(receive(8)).getLong() : 0;
        long length = extended
                ? ByteBuffer.wrap(receive(8)).getLong()
                : ByteBuffer.wrap(receive(4)).getInt();
        byte[] payload = receive(Math.toIntExact(length));
        int error = (type & Nbd.CHUNK_ERROR_BIT) != 0 ? ByteBuffer.wrap(payload).getInt() : 0;
        return new Reply(type, flags, error, cookie, offset, payload);
    }

    public Reply reply() throws IOException {
        return reply(0);
    }

    /** Sends a request, expects one reply that is the last, and gives its error. */
    public int errorOf(int flags, int type, long offset, long length, byte... data) throws IOException {
        long cookie = 0x5eed_0000_0000L + type;
        request(flags, type, cookie, offset, length, data);
        Reply reply = reply();
        assertThat(reply.cookie()).isEqualTo(cookie);
        assertThat(reply.last()).isTrue();
        return reply.error();
    }

    /** Reads a range through structured replies. */
    public byte[] read(long offset, int length) throws IOException {
        request(0, Nbd.CMD_READ, 77, offset, length);
        byte[] data = new byte[length];
        while (true) {
            Reply reply = reply();
            assertThat(reply.cookie()).isEqualTo(77);
            assertThat(reply.error()).isZero();
            if (reply.type() == Nbd.CHUNK_OFFSET_DATA) {
                int at = (int) (reply.buffer().getLong() - offset);
                System.arraycopy(reply.payload(), 8, data, at, reply.payload().length - 8);
            }
            if (reply.last()) {
                return data;
            }
        }
    }

    /** Ends the conversation as the protocol asks, and waits for the server to do the same. */
    public void disconnect() throws IOException {
        request(0, Nbd.CMD_DISC, 0, 0, 0);
        expectEnd();
        close();
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
