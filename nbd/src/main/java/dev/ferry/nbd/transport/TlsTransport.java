package dev.ferry.nbd.transport;

import dev.ferry.block.IoBuffer;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.NativeBytes;
import dev.ferry.reactor.Sockets;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * A socket with TLS on it, by the JDK's engine. Above it looks like a socket: one receive and one send at a time, each an
 * operation that ends later.
 *
 * <pre>
 *   receive ◀─ plainIn (what was decrypted and not asked for) ◀─ engine ◀─ inMemory  ◀─ socket
 *   send    ─▶ engine ─▶ outMemory ─▶ socket
 * </pre>
 *
 * <p>The engine works on arrays, where the processor's AES is used to the full, and not on native memory: a copy more is
 * cheap beside that. The arrays belong to the thread, so that connections that wait have none. A long receive is decrypted where it belongs; many pieces of a send share records. What is slow in a handshake runs
 * on another thread. The engine allocates for each record: unlike a plain socket, this one is not free of garbage.
 * Specification: section "TLS support" of {@code doc/proto.md}.
 */
public final class TlsTransport extends Transport {
    private static final int CIPHER_IN_BYTES = 128 << 10;

    /** Room for a reply of 256 KiB and what TLS adds to it. */
    private static final int CIPHER_OUT_BYTES = 288 << 10;

    private static final PieceStore INPUTS = new PieceStore(CIPHER_IN_BYTES);
    private static final PieceStore OUTPUTS = new PieceStore(CIPHER_OUT_BYTES);
    private static final ByteBuffer EMPTY = ByteBuffer.allocate(0);
    private static final ByteBuffer[] NOTHING = {EMPTY};

    /** What a thread encrypts into and decrypts from; holds nothing between two calls. */
    private static final class Arrays {
        private static final ThreadLocal<Arrays> OF_THREAD = ThreadLocal.withInitial(Arrays::new);

        private final byte[] in = new byte[CIPHER_IN_BYTES];
        private final byte[] out = new byte[CIPHER_OUT_BYTES];
    }

    private EventLoop loop;
    private final SSLEngine engine;
    private final int plainMax;
    private final int recordMax;
    private final IoBuffer inMemory = INPUTS.take();
    private final IoBuffer outMemory = OUTPUTS.take();
    private int cipherFrom;
    private int cipherEnd;
    private int outBytes;
    private ByteBuffer plainIn = EMPTY;
    private final Filling filling = new Filling();
    private final Draining draining = new Draining();
    private final Working working = new Working();
    private @Nullable IoOperation handshaker;
    private String failure = "";
    private boolean failed;
    private boolean ended;
    private boolean closing;

    // ---- the receive that is waiting
    private @Nullable IoOperation reader;
    private @Nullable ByteBuffer readInto;
    private boolean readWhole;
    private boolean readCancelled;

    // ---- the send that is under way
    private @Nullable IoOperation writer;
    private ByteBuffer[] writeFrom = NOTHING;
    private int writeIndex;
    private int writtenBytes;
    private boolean mustWrap;

    /**
     * @param socket connected, and nobody else's
     * @param early bytes of TLS that came before this was made
     */
    public TlsTransport(EventLoop loop, int socket, SSLEngine engine, ByteBuffer early) {
        super(socket);
        this.loop = loop;
        this.engine = engine;
        this.plainMax = engine.getSession().getApplicationBufferSize();
        this.recordMax = engine.getSession().getPacketBufferSize();
        byte[] came = new byte[early.remaining()];
        early.get(came);
        inMemory.copyFrom(came, 0, 0, came.length);
        cipherEnd = came.length;
    }

    // ---- bytes of TLS

    /** What has come of it, in an array. */
    private ByteBuffer borrowed() {
        byte[] array = Arrays.OF_THREAD.get().in;
        int length = cipherEnd - cipherFrom;
        inMemory.copyTo(cipherFrom, array, 0, length);
        return ByteBuffer.wrap(array, 0, length);
    }

    /** Strikes off what has been made sense of. */
    private void giveBack(ByteBuffer cipher) {
        cipherFrom += cipher.position();
    }

    private static ByteBuffer emptyOut() {
        return ByteBuffer.wrap(Arrays.OF_THREAD.get().out);
    }

    /** Takes what is to be sent; nothing may be under way. */
    private void hold(ByteBuffer cipher) {
        outBytes = cipher.position();
        outMemory.copyFrom(Arrays.OF_THREAD.get().out, 0, 0, outBytes);
    }

    /** Shakes hands; the result is 1, or an errno below zero, and then {@link #failure} says why. */
    public void handshake(IoOperation operation) {
        loop.hold(operation);
        handshaker = operation;
        try {
            engine.beginHandshake();
            proceed();
        } catch (SSLException refused) {
            fail(refused);
        }
    }

    /** What went wrong, in words. */
    public String failure() {
        return failure;
    }

    /** Who is at the other end, after the handshake. */
    public SSLSession session() {
        return engine.getSession();
    }

    @Override
    public EventLoop loop() {
        return loop;
    }

    @Override
    public boolean inTheClear() {
        return false;
    }

    @Override
    public Transport moveTo(EventLoop other) {
        loop = other;
        return this;
    }

    // ---- the handshake

    private void proceed() throws SSLException {
        while (handshaker != null) {
            switch (engine.getHandshakeStatus()) {
                case NEED_TASK -> {
                    loop.offload(working, working);
                    return;
                }
                case NEED_WRAP -> {
                    ByteBuffer out = emptyOut();
                    engine.wrap(NOTHING, out);
                    hold(out);
                    if (outBytes > 0) {
                        drain();
                        return;
                    }
                }
                case NEED_UNWRAP, NEED_UNWRAP_AGAIN -> {
                    ByteBuffer cipher = borrowed();
                    SSLEngineResult result = engine.unwrap(cipher, plainRoom());
                    plainIn.flip();
                    giveBack(cipher);
                    if (result.getStatus() == SSLEngineResult.Status.BUFFER_UNDERFLOW) {
                        fill();
                        return;
                    }
                    if (result.getStatus() == SSLEngineResult.Status.CLOSED) {
                        throw new SSLException("the other end said good-bye in the handshake");
                    }
                }
                case FINISHED, NOT_HANDSHAKING -> {
                    IoOperation done = handshaker;
                    handshaker = null;
                    loop.end(done, 1);
                }
            }
        }
    }

    private final class Working extends IoOperation implements EventLoop.BlockingWork {
        @Override
        public int run() {
            Runnable task = engine.getDelegatedTask();
            while (task != null) {
                task.run();
                task = engine.getDelegatedTask();
            }
            return 1;
        }

        @Override
        protected void completed(int result) {
            goOn();
        }
    }

    /** Whatever has happened, does what can be done now. */
    private void goOn() {
        try {
            if (handshaker != null) {
                proceed();
            } else {
                pumpIn();
                pumpOut();
            }
        } catch (SSLException broken) {
            fail(broken);
        }
    }

    /** Nothing more goes in or out; whoever waits is told. */
    private void fail(SSLException why) {
        if (!failed) {
            failed = true;
            failure = String.valueOf(why.getMessage());
            sayGoodbye();
            shutdown();
        }
        endAll(-Errno.ECONNABORTED);
    }

    private void endAll(int result) {
        IoOperation greeting = handshaker;
        handshaker = null;
        if (greeting != null) {
            loop.end(greeting, result);
        }
        if (!filling.inFlight()) {
            endRead(result);
        }
        IoOperation sending = writer;
        if (sending != null && !draining.inFlight()) {
            writer = null;
            loop.end(sending, result);
        }
    }

    // ---- the socket

    private void fill() {
        int left = cipherEnd - cipherFrom;
        if (cipherFrom > 0) {
            MemorySegment.copy(inMemory.segment(), cipherFrom, inMemory.segment(), 0, left);
            cipherFrom = 0;
            cipherEnd = left;
        }
        loop.receive(socket(), inMemory.address() + left, CIPHER_IN_BYTES - left, filling);
    }

    private final class Filling extends IoOperation {
        @Override
        protected void completed(int result) {
            if (result > 0) {
                cipherEnd += result;
            } else {
                ended = true;
                if (failure.isEmpty()) {
                    failure = result == 0 ? "the other end closed the connection" : Errno.text(result);
                }
            }
            if (failed || (result <= 0 && handshaker != null)) {
                endAll(result < 0 ? result : -Errno.ECONNRESET);
            } else if (readCancelled) {
                endRead(-Errno.ECANCELED);
            } else {
                goOn();
            }
        }
    }

    private void drain() {
        loop.send(socket(), outMemory.address(), outBytes, draining);
    }

    private final class Draining extends IoOperation {
        @Override
        protected void completed(int result) {
            if (closing) {
                close();
            } else if (result <= 0 || failed) {
                endAll(result < 0 ? result : -Errno.EPIPE);
            } else {
                goOn();
            }
        }
    }

    // ---- receiving

    @Override
    public void receive(long address, int length, IoOperation operation) {
        read(address, length, operation, false);
    }

    @Override
    public void receiveFully(long address, int length, IoOperation operation) {
        read(address, length, operation, true);
    }

    private void read(long address, int length, IoOperation operation, boolean whole) {
        loop.hold(operation);
        reader = operation;
        readInto = NativeBytes.at(address, length);
        readWhole = whole;
        readCancelled = false;
        if (failed) {
            endRead(-Errno.ECONNABORTED);
        } else {
            goOn();
        }
    }

    private void endRead(int result) {
        IoOperation reading = reader;
        if (reading != null) {
            reader = null;
            readInto = null;
            loop.end(reading, result);
        }
    }

    private void pumpIn() throws SSLException {
        ByteBuffer into = readInto;
        if (into == null || filling.inFlight()) {
            return;
        }
        if (decryptInto(into)) {
            endRead(into.position());
        } else {
            fill();
        }
    }

    /** Fills what is asked for as far as the bytes reach; false if more have to come first. */
    private boolean decryptInto(ByteBuffer into) throws SSLException {
        ByteBuffer cipher = borrowed();
        try {
            while (into.hasRemaining()) {
                if (plainIn.hasRemaining()) {
                    int taken = Math.min(plainIn.remaining(), into.remaining());
                    into.put(plainIn.slice(plainIn.position(), taken));
                    plainIn.position(plainIn.position() + taken);
                } else if (!decrypt(cipher, into)) {
                    return ended || (into.position() > 0 && !readWhole);
                }
            }
            return true;
        } finally {
            giveBack(cipher);
        }
    }

    private ByteBuffer plainRoom() {
        if (plainIn == EMPTY) {
            plainIn = ByteBuffer.allocate(plainMax);
        }
        return plainIn.clear();
    }

    /** Decrypts one record; false if there is no whole one, or there will be none. */
    private boolean decrypt(ByteBuffer cipher, ByteBuffer into) throws SSLException {
        boolean inPlace = into.remaining() >= plainMax;
        SSLEngineResult result = engine.unwrap(cipher, inPlace ? into : plainRoom());
        if (!inPlace) {
            plainIn.flip();
        }
        switch (result.getHandshakeStatus()) {
            case NEED_TASK -> working.run();
            case NEED_WRAP -> mustWrap = true;
            default -> {}
        }
        return switch (result.getStatus()) {
            case OK -> true;
            case BUFFER_UNDERFLOW -> false;
            case BUFFER_OVERFLOW -> throw new SSLException("a record is longer than the session allows");
            case CLOSED -> {
                ended = true;
                yield false;
            }
        };
    }

    @Override
    public void cancel(IoOperation operation) {
        if (operation == reader) {
            readCancelled = true;
            loop.cancel(filling);
        }
    }

    // ---- sending

    @Override
    public void send(long address, int length, IoOperation operation) {
        begin(new ByteBuffer[] {NativeBytes.at(address, length)}, operation);
    }

    @Override
    public void sendVectors(long vectors, int count, IoOperation operation) {
        ByteBuffer[] pieces = new ByteBuffer[count];
        for (int i = 0; i < count; i++) {
            long vector = vectors + 16L * i;
            pieces[i] = NativeBytes.at(NativeBytes.vectorAddress(vector), (int) NativeBytes.vectorLength(vector));
        }
        begin(pieces, operation);
    }

    private void begin(ByteBuffer[] pieces, IoOperation operation) {
        loop.hold(operation);
        writer = operation;
        writeFrom = pieces;
        writeIndex = 0;
        writtenBytes = 0;
        if (failed) {
            endAll(-Errno.ECONNABORTED);
        } else {
            goOn();
        }
    }

    private void pumpOut() throws SSLException {
        if (draining.inFlight()) {
            return;
        }
        ByteBuffer out = emptyOut();
        while (out.remaining() >= recordMax && (mustWrap || unsent())) {
            mustWrap = false;
            SSLEngineResult result = engine.wrap(writeFrom, writeIndex, writeFrom.length - writeIndex, out);
            writtenBytes += result.bytesConsumed();
            if (result.getStatus() != SSLEngineResult.Status.OK) {
                throw new SSLException("the session takes nothing more: " + result.getStatus());
            }
        }
        if (out.position() > 0) {
            hold(out);
            drain();
            return;
        }
        IoOperation sending = writer;
        if (sending != null) {
            writer = null;
            writeFrom = NOTHING;
            writeIndex = 0;
            loop.end(sending, writtenBytes);
        }
    }

    private boolean unsent() {
        while (writeIndex < writeFrom.length - 1 && !writeFrom[writeIndex].hasRemaining()) {
            writeIndex++;
        }
        return writeFrom[writeIndex].hasRemaining();
    }

    // ---- the end

    /** What the protocol wants said last, if the socket takes it at once. */
    private void sayGoodbye() {
        if (draining.inFlight()) {
            return;
        }
        try {
            engine.closeOutbound();
            ByteBuffer out = emptyOut();
            engine.wrap(NOTHING, out);
            hold(out);
            if (outBytes > 0) {
                Sockets.sendNow(socket(), outMemory.address(), outBytes);
            }
        } catch (SSLException silent) {
            // The connection ends either way.
            failed = true;
        }
    }

    /** Closes; a message of TLS's own may still be leaving, and is waited for. */
    @Override
    public void close() {
        if (draining.inFlight()) {
            closing = true;
            shutdown();
            return;
        }
        if (!failed) {
            sayGoodbye();
        }
        super.close();
        if (!filling.inFlight()) {
            INPUTS.release(inMemory);
        }
        OUTPUTS.release(outMemory);
    }
}
