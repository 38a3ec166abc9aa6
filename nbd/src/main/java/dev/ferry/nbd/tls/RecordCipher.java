package dev.ferry.nbd.tls;

import java.io.IOException;
import java.security.GeneralSecurityException;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import org.bouncycastle.tls.AlertDescription;
import org.bouncycastle.tls.ContentType;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.SecurityParameters;
import org.bouncycastle.tls.TlsFatalAlert;
import org.bouncycastle.tls.TlsUtils;
import org.bouncycastle.tls.crypto.TlsCipher;
import org.bouncycastle.tls.crypto.TlsCryptoParameters;
import org.bouncycastle.tls.crypto.TlsCryptoUtils;
import org.bouncycastle.tls.crypto.TlsDecodeResult;
import org.bouncycastle.tls.crypto.TlsEncodeResult;
import org.bouncycastle.tls.crypto.TlsSecret;

/**
 * The records of one phase of a connection by TLS 1.3 with AES-128-GCM, both ways: the JDK's cipher, which uses the processor's
 * AES to the full, on arrays of the caller's, so that nothing is allocated or copied that is as long as a record.
 *
 * <pre>
 *   record:  23 │ 3 3 │ length (2) │ AES-GCM( plain │ type │ zeros ) │ tag (16)
 *   nonce:   the direction's IV xor the number of the record under this key; the header is authenticated too
 * </pre>
 *
 * <p>Bouncy Castle settles the secrets and puts its own messages through here ({@link TlsCipher}); {@link PskEngine} puts data
 * through here ({@link #seal}, {@link #open}) without asking it. Therefore records are numbered here and nowhere else: no number
 * is ever used twice to encrypt under one key. Specification: RFC 8446, sections 5.2, 5.3, 5.5 and 7.3. Thread: one at a time.
 */
final class RecordCipher implements TlsCipher {
    static final int HEADER_BYTES = 5;

    /** What a record can carry. */
    static final int PLAIN_BYTES_MAX = 16 << 10;

    static final int TAG_BYTES = 16;
    private static final int TYPE_BYTES = 1;

    /** What a record has besides what it carries. */
    static final int EXTRA_BYTES = HEADER_BYTES + TYPE_BYTES + TAG_BYTES;

    /** So many records, at most 16 GiB, leave under one key: a thirtieth of what section 5.5 allows for AES-GCM. */
    static final int RECORDS_PER_KEY = 1 << 20;

    private static final int KEY_BYTES = 16;
    private static final int IV_BYTES = 12;

    private final TlsCryptoParameters parameters;
    private final Direction in = new Direction(Cipher.DECRYPT_MODE);
    private final Direction out = new Direction(Cipher.ENCRYPT_MODE);

    /** @param parameters of a handshake that has settled its secrets */
    RecordCipher(TlsCryptoParameters parameters) throws IOException {
        this.parameters = parameters;
        SecurityParameters settled = parameters.getSecurityParametersHandshake();
        in.rekey(settled, !parameters.isServer());
        out.rekey(settled, parameters.isServer());
    }

    // ---- data

    /** True if what leaves has had enough of its key. */
    boolean needsKey() {
        return out.number >= RECORDS_PER_KEY;
    }

    /**
     * Makes a record of data that is there already, with room for a header before it, and for type and tag behind it.
     *
     * @param at of the header
     * @return the bytes of the record: {@link #EXTRA_BYTES} more than it carries
     */
    int seal(byte[] array, int at, int plainBytes) throws IOException {
        return seal(array, at, plainBytes, ContentType.application_data);
    }

    private int seal(byte[] array, int at, int plainBytes, short type) throws IOException {
        int from = at + HEADER_BYTES;
        array[from + plainBytes] = (byte) type;
        header(array, at, ContentType.application_data, ProtocolVersion.TLSv12, plainBytes + TYPE_BYTES + TAG_BYTES);
        try {
            out.begin(array, at);
            out.number++;
            return HEADER_BYTES + out.cipher.doFinal(array, from, plainBytes + TYPE_BYTES, array, from);
        } catch (GeneralSecurityException impossible) {
            throw new TlsFatalAlert(AlertDescription.internal_error, impossible);
        }
    }

    /**
     * Takes the data out of a whole record.
     *
     * @param at of the header
     * @param into another array, with room for {@code bytes}
     * @return how many bytes there are; below zero: this is no record of data, or not a right one, and nothing has happened. It
     *     is Bouncy Castle's to make sense of it, or to complain
     */
    int open(byte[] array, int at, int bytes, byte[] into) {
        if (bytes < EXTRA_BYTES || bytes > EXTRA_BYTES + PLAIN_BYTES_MAX || array[at] != ContentType.application_data) {
            return -1;
        }
        try {
            in.begin(array, at);
            int typeAt = typeAt(into, in.cipher.doFinal(array, at + HEADER_BYTES, bytes - HEADER_BYTES, into, 0));
            if (typeAt < 0 || into[typeAt] != ContentType.application_data) {
                return -1;
            }
            in.number++;
            return typeAt;
        } catch (GeneralSecurityException notRight) {
            return -1;
        }
    }

    /** Where the type is, after which there are only zeros; below zero: nowhere. */
    private static int typeAt(byte[] inner, int length) {
        int at = length - 1;
        while (at >= 0 && inner[at] == 0) {
            at--;
        }
        return at;
    }

    private static void header(byte[] array, int at, short type, ProtocolVersion version, int length) {
        array[at] = (byte) type;
        array[at + 1] = (byte) version.getMajorVersion();
        array[at + 2] = (byte) version.getMinorVersion();
        array[at + 3] = (byte) (length >>> 8);
        array[at + 4] = (byte) length;
    }

    /** What goes one way: a key, and the number of the next record under it. */
    private static final class Direction {
        private final Cipher cipher;
        private final int mode;
        private final byte[] nonce = new byte[IV_BYTES];
        private SecretKeySpec key = new SecretKeySpec(new byte[KEY_BYTES], "AES");
        private byte[] iv = nonce;
        private long number;

        Direction(int mode) {
            this.mode = mode;
            try {
                cipher = Cipher.getInstance("AES/GCM/NoPadding");
            } catch (GeneralSecurityException impossible) {
                throw new IllegalStateException("Java has no AES-GCM", impossible);
            }
        }

        void rekey(SecurityParameters settled, boolean serverSpeaks) throws IOException {
            TlsSecret secret = serverSpeaks ? settled.getTrafficSecretServer() : settled.getTrafficSecretClient();
            int hash = settled.getPRFCryptoHashAlgorithm();
            key = new SecretKeySpec(expand(secret, hash, "key", KEY_BYTES), "AES");
            iv = expand(secret, hash, "iv", IV_BYTES);
            number = 0;
        }

        private static byte[] expand(TlsSecret secret, int hash, String label, int bytes) throws IOException {
            return TlsCryptoUtils.hkdfExpandLabel(secret, hash, label, TlsUtils.EMPTY_BYTES, bytes)
                    .extract();
        }

        /** The cipher is ready for the next record, whose header lies there. */
        void begin(byte[] array, int headerAt) throws GeneralSecurityException {
            System.arraycopy(iv, 0, nonce, 0, IV_BYTES);
            for (int i = 0; i < Long.BYTES; i++) {
                nonce[IV_BYTES - 1 - i] ^= (byte) (number >>> (Byte.SIZE * i));
            }
            cipher.init(mode, key, new GCMParameterSpec(Byte.SIZE * TAG_BYTES, nonce));
            cipher.updateAAD(array, headerAt, HEADER_BYTES);
        }
    }

    // ---- what Bouncy Castle has to say, and to hear

    @Override
    public TlsEncodeResult encodePlaintext(
            long itsNumber, short type, ProtocolVersion version, int headerBytes, byte[] plain, int offset, int length)
            throws IOException {
        byte[] record = new byte[EXTRA_BYTES + length];
        System.arraycopy(plain, offset, record, HEADER_BYTES, length);
        int bytes = seal(record, 0, length, type);
        return new TlsEncodeResult(record, 0, bytes, ContentType.application_data);
    }

    @Override
    public TlsDecodeResult decodeCiphertext(
            long itsNumber, short type, ProtocolVersion version, byte[] cipher, int offset, int length)
            throws IOException {
        if (length < TYPE_BYTES + TAG_BYTES) {
            throw new TlsFatalAlert(AlertDescription.decode_error);
        }
        byte[] header = new byte[HEADER_BYTES];
        header(header, 0, type, version, length);
        byte[] inner;
        try {
            in.begin(header, 0);
            inner = in.cipher.doFinal(cipher, offset, length);
        } catch (GeneralSecurityException wrong) {
            throw new TlsFatalAlert(AlertDescription.bad_record_mac, wrong);
        }
        in.number++;
        int typeAt = typeAt(inner, inner.length);
        if (typeAt < 0) {
            throw new TlsFatalAlert(AlertDescription.unexpected_message);
        }
        return new TlsDecodeResult(inner, 0, typeAt, (short) Byte.toUnsignedInt(inner[typeAt]));
    }

    @Override
    public void rekeyDecoder() throws IOException {
        in.rekey(parameters.getSecurityParametersConnection(), !parameters.isServer());
    }

    @Override
    public void rekeyEncoder() throws IOException {
        out.rekey(parameters.getSecurityParametersConnection(), parameters.isServer());
    }

    @Override
    public int getCiphertextDecodeLimit(int plainBytes) {
        return plainBytes + TYPE_BYTES + TAG_BYTES;
    }

    @Override
    public int getCiphertextEncodeLimit(int plainBytes) {
        return plainBytes + TYPE_BYTES + TAG_BYTES;
    }

    @Override
    public int getPlaintextDecodeLimit(int cipherBytes) {
        return cipherBytes - TYPE_BYTES - TAG_BYTES;
    }

    @Override
    public int getPlaintextEncodeLimit(int cipherBytes) {
        return cipherBytes - TYPE_BYTES - TAG_BYTES;
    }

    @Override
    public boolean usesOpaqueRecordTypeDecode() {
        return true;
    }

    @Override
    public boolean usesOpaqueRecordTypeEncode() {
        return true;
    }
}
