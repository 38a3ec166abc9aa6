package dev.ferry.nbd.tls;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLEngineResult;
import javax.net.ssl.SSLEngineResult.HandshakeStatus;
import javax.net.ssl.SSLEngineResult.Status;
import javax.net.ssl.SSLException;
import org.bouncycastle.tls.AlertDescription;
import org.bouncycastle.tls.ContentType;
import org.bouncycastle.tls.ProtocolVersion;
import org.bouncycastle.tls.TlsFatalAlertReceived;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Our records of TLS 1.3 by pre-shared keys against those of Bouncy Castle: sizes, padding, changes of keys, forgeries. */
@Timeout(300)
class PskEngineTest {
    private static final String NAME = "alice";
    private static final String KEY = "00112233445566778899aabbccddeeff";
    private static final int PLAIN_BYTES_MAX = 16 << 10;

    /** What is before the plain bytes of a record, and behind them: header; type and tag. */
    private static final int BEFORE_BYTES = 5;

    private static final int BEHIND_BYTES = 17;

    @TempDir
    Path folder;

    @SuppressWarnings("NullAway.Init") // before each test
    private SSLEngine engine;

    @SuppressWarnings("NullAway.Init") // before each test
    private StockEnd other;

    private final ByteBuffer packet = ByteBuffer.allocate(64 << 10);
    private final ByteBuffer plain = ByteBuffer.allocate(PLAIN_BYTES_MAX);

    /** Which end the engine is. */
    enum Role {
        CLIENT,
        SERVER
    }

    @SuppressWarnings("NullAway.Init") // before each test
    private PskKeys keys;

    @BeforeEach
    void writeKeys() throws IOException {
        keys = PskKeys.read(Files.writeString(folder.resolve("keys.psk"), NAME + ":" + KEY));
    }

    private void connect(Role role) throws IOException {
        connect(role, ProtocolVersion.TLSv13);
    }

    private void connect(Role role, ProtocolVersion latest) throws IOException {
        byte[] key = HexFormat.of().parseHex(KEY);
        if (role == Role.CLIENT) {
            connect(PskEngine.ofClient(NAME, key), new StockEnd.Server(keys, latest));
        } else {
            connect(PskEngine.ofServer(keys), new StockEnd.Client(NAME, key));
        }
    }

    private void connect(SSLEngine ours, StockEnd stock) throws IOException {
        engine = ours;
        other = stock;
        engine.beginHandshake();
        other.begin();
        for (int words = 0; words < 20; words++) {
            offer(said());
            for (byte[] record : records(written())) {
                assertThat(hear(record).bytesProduced()).isZero();
            }
        }
        assertThat(engine.getHandshakeStatus()).isEqualTo(HandshakeStatus.NOT_HANDSHAKING);
        assertThat(other.bytes().isConnected()).isTrue();
    }

    // ---- how bytes get from one end to the other

    /** What the engine makes of plain bytes, and of what it has to say itself. */
    private byte[] said(ByteBuffer... pieces) throws SSLException {
        packet.clear();
        engine.wrap(pieces, 0, pieces.length, packet);
        return Arrays.copyOf(packet.array(), packet.position());
    }

    private void offer(byte[] bytes) throws IOException {
        if (bytes.length > 0) {
            other.bytes().offerInput(bytes);
        }
    }

    /** What the other end has read. */
    private byte[] read() {
        byte[] read = new byte[other.bytes().getAvailableInputBytes()];
        other.bytes().readInput(read, 0, read.length);
        return read;
    }

    /** What the other end has written. */
    private byte[] written() {
        byte[] written = new byte[other.bytes().getAvailableOutputBytes()];
        other.bytes().readOutput(written, 0, written.length);
        return written;
    }

    private static byte[][] records(byte[] bytes) {
        ByteBuffer left = ByteBuffer.wrap(bytes);
        byte[][] records = new byte[0][];
        while (left.hasRemaining()) {
            byte[] record = new byte[BEFORE_BYTES + Short.toUnsignedInt(left.getShort(left.position() + 3))];
            left.get(record);
            records = Arrays.copyOf(records, records.length + 1);
            records[records.length - 1] = record;
        }
        return records;
    }

    /** The engine takes a record; what was in it is in {@link #plain} then. */
    private SSLEngineResult hear(byte[] record) throws SSLException {
        SSLEngineResult result = engine.unwrap(ByteBuffer.wrap(record), plain.clear());
        plain.flip();
        assertThat(result.bytesConsumed()).isEqualTo(record.length);
        if (result.getHandshakeStatus() == HandshakeStatus.NEED_TASK) {
            engine.getDelegatedTask().run();
        }
        return result;
    }

    private byte[] heard() {
        byte[] heard = new byte[plain.remaining()];
        plain.get(heard);
        return heard;
    }

    private void expectToOther(byte[] bytes) throws IOException {
        offer(said(ByteBuffer.wrap(bytes)));
        assertThat(read()).isEqualTo(bytes);
    }

    private void expectFromOther(byte[] bytes) throws IOException {
        other.bytes().writeApplicationData(bytes, 0, bytes.length);
        byte[][] records = records(written());
        for (byte[] record : records) {
            hear(record);
        }
        assertThat(heard()).isEqualTo(bytes);
    }

    private static byte[] random(Random random, int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }

    // ---- sizes

    @ParameterizedTest
    @EnumSource
    void aRecordOfEverySizeArrivesBothWays(Role role) throws Exception {
        connect(role);
        byte[] all = random(new Random(3), PLAIN_BYTES_MAX);
        for (int length = 1; length <= PLAIN_BYTES_MAX; length++) {
            byte[] bytes = Arrays.copyOf(all, length);
            byte[] record = said(ByteBuffer.wrap(bytes));
            assertThat(record).hasSize(BEFORE_BYTES + length + BEHIND_BYTES).startsWith(23, 3, 3);
            offer(record);
            assertThat(Arrays.equals(read(), bytes)).as("%d bytes", length).isTrue();
            other.bytes().writeApplicationData(bytes, 0, length);
            assertThat(hear(written()).bytesProduced()).isEqualTo(length);
            assertThat(Arrays.equals(heard(), bytes)).as("%d bytes", length).isTrue();
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void piecesShareRecordsAndRecordsSharePieces(long seed) throws Exception {
        connect(Role.SERVER);
        Random random = new Random(seed);
        byte[] bytes = random(random, 3 << 20);
        ByteBuffer[] pieces = new ByteBuffer[200];
        int at = 0;
        for (int i = 0; i < pieces.length; i++) {
            int length = i == pieces.length - 1
                    ? bytes.length - at
                    : Math.min(random.nextInt(i % 3 == 0 ? 60_000 : 40), bytes.length - at);
            pieces[i] = ByteBuffer.allocateDirect(length).put(bytes, at, length).flip();
            at += length;
        }
        byte[] seen = new byte[bytes.length];
        int seenBytes = 0;
        int records = 0;
        while (seenBytes < bytes.length) {
            offer(said(pieces));
            byte[] read = read();
            assertThat(read).isNotEmpty();
            System.arraycopy(read, 0, seen, seenBytes, read.length);
            seenBytes += read.length;
            records++;
        }
        assertThat(Arrays.equals(seen, bytes)).isTrue();
        assertThat(records).as("all records but the last are full").isEqualTo(bytes.length / PLAIN_BYTES_MAX);
        assertThat(said(pieces)).as("nothing is left").isEmpty();
    }

    @Test
    void aRecordThatIsNotWholeYetIsWaitedFor() throws Exception {
        connect(Role.SERVER);
        byte[] bytes = random(new Random(4), 100);
        other.bytes().writeApplicationData(bytes, 0, bytes.length);
        byte[] record = written();
        for (int part = 0; part < record.length; part++) {
            SSLEngineResult result = engine.unwrap(ByteBuffer.wrap(record, 0, part), plain.clear());
            assertThat(result.getStatus()).isEqualTo(Status.BUFFER_UNDERFLOW);
            assertThat(result.bytesConsumed()).isZero();
        }
        hear(record);
        assertThat(heard()).isEqualTo(bytes);
    }

    /** Nothing is lost where there is less room than a record has, and where there are no arrays. */
    @ParameterizedTest
    @CsvSource({"false, 1", "false, 4000", "true, 1", "true, 20000"})
    void roomMayBeSmallAndAnywhere(boolean direct, int room) throws Exception {
        connect(Role.CLIENT);
        byte[] bytes = random(new Random(5), 10_000);
        expectToOther(bytes);
        ByteBuffer out = direct ? ByteBuffer.allocateDirect(PLAIN_BYTES_MAX) : ByteBuffer.allocate(PLAIN_BYTES_MAX);
        engine.wrap(ByteBuffer.wrap(bytes), out);
        byte[] said = new byte[out.flip().remaining()];
        out.get(said);
        offer(said);
        assertThat(read()).isEqualTo(bytes);
        other.bytes().writeApplicationData(bytes, 0, bytes.length);
        ByteBuffer record = direct ? ByteBuffer.allocateDirect(PLAIN_BYTES_MAX) : ByteBuffer.allocate(PLAIN_BYTES_MAX);
        record.put(written()).flip();
        ByteBuffer seen = ByteBuffer.allocate(bytes.length);
        while (seen.hasRemaining()) {
            ByteBuffer some = ByteBuffer.allocateDirect(room);
            engine.unwrap(record, some);
            seen.put(some.flip());
        }
        assertThat(seen.array()).isEqualTo(bytes);
        expectFromOther(bytes);
        expectToOther(bytes);
    }

    /** A client may ask for records that are short (RFC 6066, section 4). */
    @Test
    void recordsAreAsShortAsTheOtherEndWants() throws Exception {
        connect(
                PskEngine.ofServer(keys),
                StockEnd.Client.ofShortRecords(NAME, HexFormat.of().parseHex(KEY)));
        byte[] bytes = random(new Random(10), 2000);
        ByteBuffer piece = ByteBuffer.wrap(bytes);
        for (int length : new int[] {512, 512, 512, 464}) {
            byte[] record = said(piece);
            assertThat(record).hasSize(BEFORE_BYTES + length + BEHIND_BYTES);
            offer(record);
        }
        assertThat(read()).isEqualTo(bytes);
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "1, 1", "100, 3000", "16000, 383", "16383, 0", "0, 0", "0, 5"})
    void paddingIsTakenOff(int length, int zeros) throws Exception {
        connect(Role.SERVER);
        byte[] bytes = random(new Random(6), length);
        byte[] padded = Arrays.copyOf(bytes, length + 1 + zeros);
        padded[length] = ContentType.application_data;
        other.record(0, padded);
        assertThat(hear(written()).bytesProduced()).isEqualTo(length);
        assertThat(heard()).isEqualTo(bytes);
        expectFromOther(new byte[] {0, 0, 0});
    }

    @Test
    void byTls12DataGoesBothWaysToo() throws Exception {
        connect(Role.CLIENT, ProtocolVersion.TLSv12);
        Random random = new Random(7);
        for (int i = 0; i < 100; i++) {
            expectToOther(random(random, 1 + random.nextInt(PLAIN_BYTES_MAX)));
            expectFromOther(random(random, 1 + random.nextInt(PLAIN_BYTES_MAX)));
        }
    }

    // ---- keys that change

    @ParameterizedTest
    @EnumSource
    void aChangeOfKeysIsFollowedAndAnsweredBeforeMoreDataLeaves(Role role) throws Exception {
        connect(role);
        Random random = new Random(8);
        int answers = 0;
        for (int i = 0; i < 200; i++) {
            boolean ask = random.nextBoolean();
            other.updateKey(ask);
            assertThat(hear(written()).bytesProduced()).isZero();
            answers += ask ? 1 : 0;
            expectFromOther(random(random, 1 + random.nextInt(PLAIN_BYTES_MAX)));
            assertThat(said()).as("an answer waits for data").isEmpty();
            expectToOther(random(random, 1 + random.nextInt(PLAIN_BYTES_MAX)));
            assertThat(other.updatesHeard()).isEqualTo(answers);
            expectToOther(random(random, 1 + random.nextInt(PLAIN_BYTES_MAX)));
        }
    }

    /** As many records as one key may protect, for real. */
    @Test
    void aKeyThatHasProtectedEnoughIsChanged() throws Exception {
        connect(Role.SERVER);
        byte[] one = {7};
        for (int i = 0; i < RecordCipher.RECORDS_PER_KEY; i++) {
            offer(said(ByteBuffer.wrap(one)));
            if (i % 1000 == 0) {
                read();
            }
        }
        read();
        assertThat(other.updatesHeard()).isZero();
        expectToOther(one);
        assertThat(other.updatesHeard()).isEqualTo(1);
        expectFromOther(one);
        expectToOther(one);
        assertThat(other.updatesHeard()).as("and not again").isEqualTo(1);
    }

    // ---- what is not right

    /** Header, data, type and tag; from the front, and below zero from the end. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4, 5, 6, 500, 1004, -17, -16, -2, -1})
    void aRecordThatWasTouchedEndsTheConnection(int at) throws Exception {
        connect(Role.SERVER);
        byte[] bytes = random(new Random(9), 1000);
        expectFromOther(bytes);
        other.bytes().writeApplicationData(bytes, 0, bytes.length);
        byte[] record = written();
        int touched = Math.floorMod(at, record.length);
        record[touched] ^= 1;
        if (touched == 4) {
            record = Arrays.copyOf(record, record.length ^ 1); // as long as it says now
        }
        byte[] forged = record;
        assertThatThrownBy(() -> hear(forged)).isInstanceOf(SSLException.class);
        expectOver(AlertDescription.bad_record_mac);
    }

    @Test
    void aRecordThatComesAgainEndsTheConnection() throws Exception {
        connect(Role.CLIENT);
        other.bytes().writeApplicationData(new byte[10], 0, 10);
        byte[] record = written();
        hear(record);
        assertThatThrownBy(() -> hear(record)).isInstanceOf(SSLException.class);
        expectOver(AlertDescription.bad_record_mac);
    }

    @Test
    void aRecordThatIsMissingEndsTheConnection() throws Exception {
        connect(Role.CLIENT);
        other.bytes().writeApplicationData(new byte[10], 0, 10);
        assertThat(written()).isNotEmpty();
        other.bytes().writeApplicationData(new byte[10], 0, 10);
        byte[] second = written();
        assertThatThrownBy(() -> hear(second)).isInstanceOf(SSLException.class);
        expectOver(AlertDescription.bad_record_mac);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 99})
    void aRecordOfNoTypeOrOfAStrangeOneEndsTheConnection(int type) throws Exception {
        connect(Role.SERVER);
        other.record(type, new byte[50]);
        byte[] record = written();
        assertThatThrownBy(() -> hear(record)).isInstanceOf(SSLException.class);
        expectOver(AlertDescription.unexpected_message);
    }

    @Test
    void aRecordThatIsTooShortOrTooLongEndsTheConnection() throws Exception {
        connect(Role.SERVER);
        byte[] tooShort = {23, 3, 3, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
        assertThatThrownBy(() -> hear(tooShort)).isInstanceOf(SSLException.class);
        expectOver(AlertDescription.decode_error);
        connect(Role.SERVER);
        byte[] tooLong = new byte[BEFORE_BYTES + PLAIN_BYTES_MAX + BEHIND_BYTES + 1];
        ByteBuffer.wrap(tooLong).put(new byte[] {23, 3, 3}).putShort((short) (tooLong.length - BEFORE_BYTES));
        assertThatThrownBy(() -> hear(tooLong)).isInstanceOf(SSLException.class);
        expectOver(AlertDescription.record_overflow);
    }

    /** The other end is told why, and neither data nor anything else goes either way any more. */
    private void expectOver(short alert) throws IOException {
        byte[] last = said(ByteBuffer.wrap(new byte[100]));
        assertThatThrownBy(() -> offer(last))
                .isInstanceOfSatisfying(
                        TlsFatalAlertReceived.class,
                        told -> assertThat(told.getAlertDescription()).isEqualTo(alert));
        assertThat(read()).isEmpty();
        assertThat(said(ByteBuffer.wrap(new byte[100]))).isEmpty();
        assertThat(engine.isInboundDone()).isTrue();
        SSLEngineResult result = engine.unwrap(ByteBuffer.wrap(new byte[100]), plain.clear());
        assertThat(result.getStatus()).isEqualTo(Status.CLOSED);
        assertThat(result.bytesProduced()).isZero();
    }

    @ParameterizedTest
    @EnumSource
    void aGoodByeIsHeardAndSaid(Role role) throws Exception {
        connect(role);
        expectFromOther(new byte[] {1});
        other.bytes().close();
        SSLEngineResult result = hear(written());
        assertThat(result.getStatus()).isEqualTo(Status.CLOSED);
        connect(role);
        expectToOther(new byte[] {1});
        engine.closeOutbound();
        offer(said());
        assertThat(other.bytes().isClosed()).isTrue();
    }
}
