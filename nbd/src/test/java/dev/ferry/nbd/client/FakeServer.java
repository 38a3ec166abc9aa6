package dev.ferry.nbd.client;

import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A server that says what a test wants it to say: a script for each client, one after the other. Its ends of the connections
 * stay open until it is closed, or a script closes one.
 */
public final class FakeServer implements AutoCloseable {
    static final long SIZE_BYTES = 1 << 20;
    static final int FLAGS = Nbd.FLAG_HAS_FLAGS
            | Nbd.FLAG_SEND_FLUSH
            | Nbd.FLAG_SEND_FUA
            | Nbd.FLAG_SEND_WRITE_ZEROES
            | Nbd.FLAG_SEND_DF;

    /** What the server does with its client. */
    @FunctionalInterface
    public interface Script {
        void run(Peer client) throws IOException;
    }

    record Request(int magic, int type, long cookie, long offset, int length) {}

    /** The client, as the server sees it. */
    public record Peer(SocketChannel channel) {
        public byte[] receive(int length) throws IOException {
            ByteBuffer buffer = ByteBuffer.allocate(length);
            while (buffer.hasRemaining()) {
                if (channel.read(buffer) < 0) {
                    throw new EOFException("the client has gone");
                }
            }
            return buffer.array();
        }

        public void send(byte... message) throws IOException {
            ByteBuffer buffer = ByteBuffer.wrap(message);
            while (buffer.hasRemaining()) {
                channel.write(buffer);
            }
        }

        public void send(Bytes message) throws IOException {
            send(message.done());
        }

        /** The next request, its data passed over. */
        Request request() throws IOException {
            ByteBuffer header = ByteBuffer.wrap(receive(28));
            int magic = header.getInt();
            header.getShort();
            Request request =
                    new Request(magic, header.getShort(), header.getLong(), header.getLong(), header.getInt());
            if (request.type == Nbd.CMD_WRITE) {
                receive(request.length);
            }
            return request;
        }

        /** Answers a client's handshake as a good server does. */
        void welcome(boolean structured) throws IOException {
            welcome(structured, goodExport());
        }

        void welcome(boolean structured, Bytes export) throws IOException {
            send(Bytes.empty().greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES));
            receive(4);
            while (true) {
                ByteBuffer header = ByteBuffer.wrap(receive(16));
                int option = header.getInt(8);
                receive(header.getInt(12));
                switch (option) {
                    case Nbd.OPT_EXTENDED_HEADERS -> send(Bytes.empty().optionReply(option, Nbd.REP_ERR_UNSUP));
                    case Nbd.OPT_STRUCTURED_REPLY ->
                        send(Bytes.empty().optionReply(option, structured ? Nbd.REP_ACK : Nbd.REP_ERR_UNSUP));
                    case Nbd.OPT_SET_META_CONTEXT -> send(goodContext());
                    case Nbd.OPT_GO -> {
                        send(export);
                        return;
                    }
                    default -> throw new IOException("option " + option);
                }
            }
        }
    }

    static Bytes goodContext() {
        byte[] context = Bytes.empty().u32(7).text(Nbd.BASE_ALLOCATION).done();
        return Bytes.empty()
                .optionReply(Nbd.OPT_SET_META_CONTEXT, Nbd.REP_META_CONTEXT, context)
                .optionReply(Nbd.OPT_SET_META_CONTEXT, Nbd.REP_ACK);
    }

    static byte[] exportInfo(long sizeBytes) {
        return Bytes.empty().u16(Nbd.INFO_EXPORT).u64(sizeBytes).u16(FLAGS).done();
    }

    static Bytes goodExport() {
        return export(SIZE_BYTES, FLAGS);
    }

    static Bytes export(long sizeBytes, int flags) {
        byte[] info =
                Bytes.empty().u16(Nbd.INFO_EXPORT).u64(sizeBytes).u16(flags).done();
        return Bytes.empty().optionReply(Nbd.OPT_GO, Nbd.REP_INFO, info).optionReply(Nbd.OPT_GO, Nbd.REP_ACK);
    }

    /** All that a good server says in the handshake, which it may say without listening. */
    static byte[] goodHandshake() {
        return Bytes.empty()
                .greeting(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)
                .optionReply(Nbd.OPT_EXTENDED_HEADERS, Nbd.REP_ERR_UNSUP)
                .optionReply(Nbd.OPT_STRUCTURED_REPLY, Nbd.REP_ACK)
                .raw(goodContext().done())
                .raw(goodExport().done())
                .done();
    }

    private final Path folder = Files.createTempDirectory("ferry-nbd");
    private final Path socket = folder.resolve("s");
    private final ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    private final CompletableFuture<Void> scriptEnd = new CompletableFuture<>();
    private final CompletableFuture<Void> closing = new CompletableFuture<>();

    public FakeServer(Script... scripts) throws IOException {
        listener.bind(UnixDomainSocketAddress.of(socket));
        Thread.startVirtualThread(() -> {
            List<SocketChannel> clients = new ArrayList<>();
            try {
                for (Script script : scripts) {
                    SocketChannel client = listener.accept();
                    clients.add(client);
                    script.run(new Peer(client));
                }
                scriptEnd.complete(null);
                closing.join();
            } catch (IOException | RuntimeException | AssertionError failure) {
                scriptEnd.completeExceptionally(failure);
            } finally {
                clients.forEach(FakeServer::hangUp);
            }
        });
    }

    private static void hangUp(SocketChannel client) {
        try {
            client.close();
        } catch (IOException gone) {
            throw new UncheckedIOException(gone);
        }
    }

    public NbdUri.Unix uri() {
        return new NbdUri.Unix(socket, "disk");
    }

    /** Waits until the script has been played; throws what it threw. */
    public void awaitScript() {
        scriptEnd.orTimeout(90, TimeUnit.SECONDS).join();
    }

    @Override
    public void close() throws IOException {
        closing.complete(null);
        listener.close();
        Files.deleteIfExists(socket);
        Files.deleteIfExists(folder);
    }
}
