package dev.ferry.nbd.server;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.nbd.wire.TransmissionLayout;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.FileProbe;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import dev.ferry.reactor.Sockets;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Large reads whose bytes the kernel sends by itself, from the page cache to a unix socket.
 *
 * <p>One reply after the other, header first, in pieces as the socket takes them. Whenever the loop has been in between,
 * the device is asked anew where the rest of the range lies: the disk may have moved. If it lies nowhere any more, the
 * rest is read in the ordinary way. Once a header has left there is no way to report an error, so that every failure from
 * then on ends the connection.
 *
 * <p>Where zeroes can be described instead of sent, a few bytes of the range are looked at first ({@link FileProbe}): if
 * there are zeroes among them, the range is read in the ordinary way, where {@link ReplyWriter} finds all of them. Belongs to
 * its connection.
 */
final class FileReplies {
    private static final int HEADER_BYTES = 64;

    /** Memory for one header, and for a look at the bytes of a file. */
    static final int SCRATCH_BYTES = HEADER_BYTES + FileProbe.BYTES;

    private final Connection connection;
    private final EventLoop loop;
    private final int socket;
    private final BlockDevice device;
    private final BufferPool buffers;
    private final ReplyStyle style;
    private final IoBuffer header;
    private final FileRange range = new FileRange();
    private final Waiting waiting = new Waiting();
    private final Completion restRead = this::restRead;
    private @Nullable ServerRequest head;
    private @Nullable ServerRequest tail;
    private @Nullable ServerRequest current;
    private int headerSent;
    private int headerBytes;
    private long sent;
    private boolean readingRest;
    private boolean restReady;
    private int restAt;
    private int restEnd;

    /** @param header memory of {@link #SCRATCH_BYTES}, of this connection alone */
    FileReplies(Connection connection, EventLoop loop, int socket, Export export, ReplyStyle style, IoBuffer header) {
        this.connection = connection;
        this.loop = loop;
        this.socket = socket;
        this.device = export.device();
        this.buffers = export.buffers();
        this.style = style;
        this.header = header;
    }

    /** True if the kernel may send a range by itself, and nothing in it looks as if it had better be described. */
    boolean sends(long offset, int length) {
        return located(offset, length) && !(style.chunks() && showsZeroes(length));
    }

    private boolean showsZeroes(int length) {
        long scratch = header.address() + HEADER_BYTES;
        return FileProbe.showsZeroes(range.descriptor(), range.position(), length, scratch);
    }

    /** Where the device says that a range lies now, if it does. */
    private boolean located(long offset, int length) {
        return device.locate(offset, length, range);
    }

    void add(ServerRequest request) {
        request.next = null;
        if (tail == null) {
            head = request;
        } else {
            tail.next = request;
        }
        tail = request;
    }

    /** True while a reply is under way: nobody else may send. */
    boolean busy() {
        return current != null;
    }

    boolean waits() {
        return head != null;
    }

    /** True while the loop or the device owes an answer. */
    boolean pending() {
        return waiting.inFlight() || readingRest;
    }

    /** Sends what it can. Only while nothing else is being sent. */
    void send() {
        while (true) {
            if (current == null) {
                if (head == null) {
                    return;
                }
                begin();
            }
            if (proceed()) {
                finish();
            } else if (current != null) {
                return;
            }
        }
    }

    private void begin() {
        ServerRequest request = Objects.requireNonNull(head);
        head = request.next;
        if (head == null) {
            tail = null;
        }
        current = request;
        headerSent = 0;
        sent = 0;
        restReady = false;
        if (style.chunks()) {
            int chunkBytes = style.chunkBytes();
            headerBytes = chunkBytes + 8;
            TransmissionLayout.putChunk(
                    header.segment(),
                    0,
                    style.extended(),
                    Nbd.REPLY_FLAG_DONE,
                    Nbd.CHUNK_OFFSET_DATA,
                    request.cookie,
                    request.offset,
                    8 + (int) request.length);
            header.segment().set(TransmissionLayout.LONG, chunkBytes, request.offset);
        } else {
            headerBytes = TransmissionLayout.SIMPLE_REPLY_BYTES;
            TransmissionLayout.putSimpleReply(header.segment(), 0, 0, request.cookie);
        }
    }

    /** True when the reply has gone out whole. */
    private boolean proceed() {
        ServerRequest request = Objects.requireNonNull(current);
        if (headerSent == 0 && !located(request.offset, (int) request.length)) {
            // Nothing has been promised yet: this is an ordinary read again, and can fail like one.
            current = null;
            connection.readInstead(request);
            return false;
        }
        while (headerSent < headerBytes) {
            int result = Sockets.sendNow(socket, header.address() + headerSent, headerBytes - headerSent);
            if (result <= 0) {
                waitOrBreak(result);
                return false;
            }
            headerSent += result;
        }
        return restReady ? sendRest(request) : sendFile(request);
    }

    private boolean sendFile(ServerRequest request) {
        long left = request.length - sent;
        if (left > 0 && !located(request.offset + sent, (int) left)) {
            readRest(request);
            return false;
        }
        long position = range.position();
        while (left > 0) {
            long result = Linux.sendfile(socket, range.descriptor(), position, left);
            if (result <= 0) {
                if (result == -Errno.EAGAIN || result == -Errno.EPIPE || result == -Errno.ECONNRESET) {
                    waitOrBreak((int) result);
                } else {
                    readRest(request);
                }
                return false;
            }
            sent += result;
            position += result;
            left -= result;
        }
        return true;
    }

    private void waitOrBreak(int result) {
        if (result == -Errno.EAGAIN) {
            loop.awaitWritable(socket, waiting);
        } else {
            connection.breakOff();
        }
    }

    /** The rest of the range cannot be sent from a file any more. */
    private void readRest(ServerRequest request) {
        long from = request.offset + sent;
        int before = (int) (from & (device.geometry().blockSizeBytes() - 1));
        int left = (int) (request.length - sent) + before;
        IoBuffer buffer = buffers.take(left);
        if (buffer == null) {
            connection.breakOff();
            return;
        }
        request.buffer = buffer;
        restAt = before;
        restEnd = left;
        readingRest = true;
        connection.submitted();
        device.read(from - before, buffer, 0, left, restRead);
    }

    private void restRead(@Nullable BlockError error) {
        readingRest = false;
        connection.returned();
        restReady = true;
        if (error != null) {
            connection.breakOff();
        }
        connection.resume();
    }

    private boolean sendRest(ServerRequest request) {
        while (restAt < restEnd) {
            int result = Sockets.sendNow(socket, request.buffer().address() + restAt, restEnd - restAt);
            if (result <= 0) {
                waitOrBreak(result);
                return false;
            }
            restAt += result;
        }
        return true;
    }

    private void finish() {
        ServerRequest request = Objects.requireNonNull(current);
        current = null;
        device.located(request.offset, (int) request.length, loop.nanoTime() - request.startNanos);
        connection.answered(request);
    }

    /** Gives back what waits here; the connection is broken. */
    void abandon() {
        if (pending()) {
            return;
        }
        ServerRequest request = current;
        current = null;
        if (request != null) {
            connection.answered(request);
        }
        while (head != null) {
            ServerRequest waitingRequest = head;
            head = waitingRequest.next;
            connection.answered(waitingRequest);
        }
        tail = null;
    }

    private final class Waiting extends IoOperation {
        @Override
        protected void completed(int result) {
            connection.resume();
        }
    }
}
