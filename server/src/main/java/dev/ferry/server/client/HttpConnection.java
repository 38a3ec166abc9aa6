package dev.ferry.server.client;

import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.SocketException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Locale;

/**
 * As much of HTTP/1.1 (RFC 9112) as the daemon's answers need: a status line, headers, and content whose length is given.
 * One exchange at a time.
 */
final class HttpConnection implements AutoCloseable {
    private static final int HEAD_BYTES_MAX = 16 << 10;
    private static final int CONTENT_BYTES_MAX = 64 << 20;

    private final SocketChannel channel;
    private final ByteBuffer input = ByteBuffer.allocate(16 << 10).limit(0);

    private HttpConnection(SocketChannel channel) {
        this.channel = channel;
    }

    /** What came back. */
    @SuppressWarnings("ArrayRecordComponent")
    record Answer(int status, byte[] content) {}

    /** @throws UnheardException if nobody listens there */
    static HttpConnection open(Path socket) throws IOException {
        SocketChannel channel;
        try {
            channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        } catch (UnsupportedOperationException impossible) {
            throw new IOException("no unix sockets here", impossible);
        }
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
            return new HttpConnection(channel);
        } catch (IOException nobody) {
            channel.close();
            throw new UnheardException(nobody);
        }
    }

    /**
     * Asks, and waits for the answer.
     *
     * @throws UnheardException if the other end went away before it had read all of the request
     */
    Answer exchange(String method, String path, byte[] content) throws IOException {
        ByteArrayOutputStream request = new ByteArrayOutputStream();
        String head = method + " " + path + " HTTP/1.1\r\nHost: ferry\r\nContent-Length: " + content.length + "\r\n"
                + (content.length == 0 ? "" : "Content-Type: application/json\r\n") + "\r\n";
        request.writeBytes(head.getBytes(StandardCharsets.US_ASCII));
        request.writeBytes(content);
        ByteBuffer output = ByteBuffer.wrap(request.toByteArray());
        try {
            while (output.hasRemaining()) {
                channel.write(output);
            }
        } catch (IOException broken) {
            throw new UnheardException(broken);
        }
        try {
            fill();
        } catch (SocketException reset) {
            // A unix socket says so, and not just that the stream is over, when what was sent to it has not been read.
            throw new UnheardException(reset);
        }
        return answer();
    }

    private Answer answer() throws IOException {
        String[] status = line().split(" ", 3);
        if (status.length < 2 || !status[0].equals("HTTP/1.1") || !status[1].matches("[0-9]{3}")) {
            throw new IOException("this is not HTTP");
        }
        int length = 0;
        for (String header = line(); !header.isEmpty(); header = line()) {
            String lower = header.toLowerCase(Locale.ROOT);
            if (lower.startsWith("content-length:")) {
                length = length(lower.substring(lower.indexOf(':') + 1).trim());
            } else if (lower.startsWith("transfer-encoding:")) {
                throw new IOException("an answer without a length");
            }
        }
        byte[] content = new byte[length];
        for (int at = 0; at < length; ) {
            fill();
            int piece = Math.min(length - at, input.remaining());
            input.get(content, at, piece);
            at += piece;
        }
        return new Answer(Integer.parseInt(status[1]), content);
    }

    private static int length(String text) throws IOException {
        if (!text.matches("[0-9]{1,8}") || Integer.parseInt(text) > CONTENT_BYTES_MAX) {
            throw new IOException("an answer of " + text + " bytes");
        }
        return Integer.parseInt(text);
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        while (true) {
            fill();
            char c = (char) (input.get() & 0xff);
            if (c == '\n') {
                int last = line.length() - 1;
                return last >= 0 && line.charAt(last) == '\r' ? line.substring(0, last) : line.toString();
            }
            if (line.length() == HEAD_BYTES_MAX) {
                throw new IOException("a header without end");
            }
            line.append(c);
        }
    }

    private void fill() throws IOException {
        if (!input.hasRemaining()) {
            input.clear();
            int count = channel.read(input);
            input.flip();
            if (count < 0) {
                throw new EOFException("connection closed");
            }
        }
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException gone) {
            // There is nothing that this could change.
        }
    }
}
