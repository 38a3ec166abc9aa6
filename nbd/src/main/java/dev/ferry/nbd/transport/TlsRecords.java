package dev.ferry.nbd.transport;

import dev.ferry.block.IoBuffer;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLException;

/**
 * What a connection has of TLS in memory, and the engine between that and plain bytes. Does no I/O.
 *
 * <pre>
 *   receive ◀─ plainIn (what was decrypted and not asked for) ◀─ engine ◀─ inMemory  ◀─ socket
 *   send    ─▶ engine ─▶ outMemory ─▶ socket
 * </pre>
 *
 * <p>The engine works on arrays, where the processor's AES is used to the full, and not on native memory: a copy more is
 * cheap beside that, record by record, while what is copied is still in the processor's cache. The arrays belong to the thread,
 * so that connections that wait have none. A long receive is decrypted where it belongs; many pieces of a send share records.
 * Thread: the loop's, and while a handshake's {@link #runTasks} is under way elsewhere nobody calls the rest.
 */
final class TlsRecords {
    private static final int CIPHER_IN_BYTES = 128 << 10;

    /** Room for a reply of 256 KiB and what TLS adds to it. */
    private static final int CIPHER_OUT_BYTES = 288 << 10;

    private static final int HEADER_BYTES = 5;

    /** Room for whatever an engine calls one packet. */
    private static final int RECORD_ARRAY_BYTES = 64 << 10;

    private static final PieceStore INPUTS = new PieceStore(CIPHER_IN_BYTES);
    private static final PieceStore OUTPUTS = new PieceStore(CIPHER_OUT_BYTES);
    private static final ValueLayout.OfShort LENGTH = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ByteBuffer EMPTY = ByteBuffer.allocate(0);
    private static final ByteBuffer[] NOTHING = {EMPTY};

    /** What a thread encrypts into and decrypts from; holds nothing between two calls. */
    private static final class Arrays {
        private static final ThreadLocal<Arrays> OF_THREAD = ThreadLocal.withInitial(Arrays::new);

        private final byte[] in = new byte[RECORD_ARRAY_BYTES];
        private final byte[] out = new byte[RECORD_ARRAY_BYTES];
    }

    private final SSLEngine engine;
    private final int plainMax;
    private final int recordMax;
    private final IoBuffer inMemory = INPUTS.take();
    private final IoBuffer outMemory = OUTPUTS.take();
    private int cipherFrom;
    private int cipherEnd;
    private int outBytes;
    private ByteBuffer plainIn = EMPTY;
    private boolean ended;

    // ---- what is being sent
    private ByteBuffer[] pieces = NOTHING;
    private int piece;
    private int encryptedBytes;
    private boolean mustWrap;

    /** @param early bytes of TLS that came before this was made */
    TlsRecords(SSLEngine engine, ByteBuffer early) {
        this.engine = engine;
        this.plainMax = engine.getSession().getApplicationBufferSize();
        this.recordMax = engine.getSession().getPacketBufferSize();
        byte[] came = new byte[early.remaining()];
        early.get(came);
        inMemory.copyFrom(came, 0, 0, came.length);
        cipherEnd = came.length;
    }

    // ---- what comes

    /** Moves what is left to the front; so many bytes have room behind it, at {@link #roomAddress}. */
    int makeRoom() {
        int left = cipherEnd - cipherFrom;
        if (cipherFrom > 0) {
            MemorySegment.copy(inMemory.segment(), cipherFrom, inMemory.segment(), 0, left);
            cipherFrom = 0;
            cipherEnd = left;
        }
        return CIPHER_IN_BYTES - left;
    }

    long roomAddress() {
        return inMemory.address() + cipherEnd;
    }

    /** So many bytes were put into the room. */
    void came(int bytes) {
        cipherEnd += bytes;
    }

    /** True when the other end has said that nothing more comes. */
    boolean ended() {
        return ended;
    }

    /** So much of what has come, or less, in an array. */
    private ByteBuffer borrow(int bytesMax) {
        byte[] array = Arrays.OF_THREAD.get().in;
        int bytes = Math.min(Math.min(bytesMax, array.length), cipherEnd - cipherFrom);
        inMemory.copyTo(cipherFrom, array, 0, bytes);
        return ByteBuffer.wrap(array, 0, bytes);
    }

    /** How long the next record says it is. An engine that gets less knows whether that can be. */
    private int recordBytes() {
        if (cipherEnd - cipherFrom < HEADER_BYTES) {
            return HEADER_BYTES;
        }
        short length = inMemory.segment().get(LENGTH, cipherFrom + HEADER_BYTES - Short.BYTES);
        return HEADER_BYTES + Short.toUnsignedInt(length);
    }

    /** Strikes off what has been made sense of. */
    private void giveBack(ByteBuffer cipher) {
        cipherFrom += cipher.position();
    }

    private ByteBuffer plainRoom() {
        if (plainIn == EMPTY) {
            plainIn = ByteBuffer.allocate(plainMax);
        }
        return plainIn.clear();
    }

    /** Gives the engine a record of a handshake; false if there is no whole one. */
    boolean shakeHands() throws SSLException {
        ByteBuffer cipher = borrow(RECORD_ARRAY_BYTES);
        SSLEngineResult result = engine.unwrap(cipher, plainRoom());
        plainIn.flip();
        giveBack(cipher);
        if (result.getStatus() == SSLEngineResult.Status.CLOSED) {
            throw new SSLException("the other end said good-bye in the handshake");
        }
        return result.getStatus() != SSLEngineResult.Status.BUFFER_UNDERFLOW;
    }

    /** Does what the engine asks for that is slow. */
    void runTasks() {
        Runnable task = engine.getDelegatedTask();
        while (task != null) {
            task.run();
            task = engine.getDelegatedTask();
        }
    }

    /** Fills what is asked for; false if the bytes do not reach so far. */
    boolean decryptInto(ByteBuffer into) throws SSLException {
        while (into.hasRemaining()) {
            if (plainIn.hasRemaining()) {
                int taken = Math.min(plainIn.remaining(), into.remaining());
                into.put(plainIn.slice(plainIn.position(), taken));
                plainIn.position(plainIn.position() + taken);
            } else if (!decrypt(into)) {
                return false;
            }
        }
        return true;
    }

    /** Decrypts one record; false if there is no whole one, or there will be none. */
    private boolean decrypt(ByteBuffer into) throws SSLException {
        ByteBuffer cipher = borrow(recordBytes());
        boolean inPlace = into.remaining() >= plainMax;
        SSLEngineResult result = engine.unwrap(cipher, inPlace ? into : plainRoom());
        giveBack(cipher);
        if (!inPlace) {
            plainIn.flip();
        }
        switch (result.getHandshakeStatus()) {
            case NEED_TASK -> runTasks();
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

    // ---- what leaves

    /** Where there are {@link #outBytes} to be sent. */
    long outAddress() {
        return outMemory.address();
    }

    int outBytes() {
        return outBytes;
    }

    /** Lets the engine make one packet more of what is to be sent. */
    private SSLEngineResult wrap(ByteBuffer[] from, int offset, int count) throws SSLException {
        byte[] array = Arrays.OF_THREAD.get().out;
        ByteBuffer out = ByteBuffer.wrap(array);
        SSLEngineResult result = engine.wrap(from, offset, count, out);
        outMemory.copyFrom(array, 0, outBytes, out.position());
        outBytes += out.position();
        return result;
    }

    /** Lets the engine say what it has to say itself; true if that is something, and has to be sent. */
    boolean encryptNothing() throws SSLException {
        outBytes = 0;
        wrap(NOTHING, 0, NOTHING.length);
        return outBytes > 0;
    }

    /** These are to be sent, {@link #encrypt} by encrypt. */
    void begin(ByteBuffer[] newPieces) {
        pieces = newPieces;
        piece = 0;
        encryptedBytes = 0;
    }

    /** Encrypts as much as there is room for; true if there is something to be sent then. */
    boolean encrypt() throws SSLException {
        outBytes = 0;
        while (CIPHER_OUT_BYTES - outBytes >= recordMax && (mustWrap || unsent())) {
            mustWrap = false;
            SSLEngineResult result = wrap(pieces, piece, pieces.length - piece);
            encryptedBytes += result.bytesConsumed();
            if (result.getStatus() != SSLEngineResult.Status.OK) {
                throw new SSLException("the session takes nothing more: " + result.getStatus());
            }
        }
        return outBytes > 0;
    }

    private boolean unsent() {
        while (piece < pieces.length - 1 && !pieces[piece].hasRemaining()) {
            piece++;
        }
        return pieces[piece].hasRemaining();
    }

    /** Forgets the pieces, all of which have left; so many bytes they were. */
    int end() {
        pieces = NOTHING;
        piece = 0;
        return encryptedBytes;
    }

    /**
     * Gives the memory to the next connection; nothing is being sent.
     *
     * @param nothingComes false: the kernel may still write into what was its room, which is then nobody's any more
     */
    void release(boolean nothingComes) {
        if (nothingComes) {
            INPUTS.release(inMemory);
        }
        OUTPUTS.release(outMemory);
    }
}
