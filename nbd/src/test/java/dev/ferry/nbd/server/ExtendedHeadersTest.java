package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.CheckedDevice;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.RawClient.Reply;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Extended headers: every reply in chunks of 32 bytes and more, lengths of 64 bits, payloads announced by a flag. */
@Timeout(180)
class ExtendedHeadersTest {
    private static final long DISK_BYTES = 9L << 30;
    private static final int PAYLOAD = Nbd.CMD_FLAG_PAYLOAD_LEN;

    private final MemoryDisk disk = new MemoryDisk(DISK_BYTES);
    private ServerRig rig;
    private RawClient client;

    @BeforeEach
    void start() throws IOException {
        rig = new ServerRig().export("disk", CheckedDevice.of(disk, "disk"));
        client = rig.connect();
    }

    @AfterEach
    void stop() throws IOException {
        client.close();
        rig.close();
    }

    private static byte[] random(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    @Test
    void everyReplyIsExtendedAndNamesTheOffsetOfItsRequest() throws Exception {
        client.goExtended("disk");
        byte[] data = random(8192);
        client.request(PAYLOAD, Nbd.CMD_WRITE, 5, 4096, data.length, data);
        Reply written = client.reply();
        assertThat(written.type()).isEqualTo(Nbd.CHUNK_NONE);
        assertThat(written.last()).isTrue();
        assertThat(written.offset()).isEqualTo(4096);
        client.request(0, Nbd.CMD_READ, 6, 4096, data.length);
        Reply read = client.reply();
        assertThat(read.offset()).isEqualTo(4096);
        assertThat(read.buffer().getLong()).isEqualTo(4096);
        assertThat(Arrays.copyOfRange(read.payload(), 8, 8 + data.length)).isEqualTo(data);
        client.request(0, Nbd.CMD_READ, 7, DISK_BYTES, 512);
        Reply refused = client.reply();
        assertThat(refused.type()).isEqualTo(Nbd.CHUNK_ERROR);
        assertThat(refused.offset()).isEqualTo(DISK_BYTES);
        assertThat(refused.buffer().getShort(4)).as("bytes of text").isPositive();
        client.request(0, Nbd.CMD_FLUSH, 8, 0, 0);
        assertThat(client.reply().type()).isEqualTo(Nbd.CHUNK_NONE);
        client.disconnect();
    }

    @Test
    void aWriteHasToSayThatItHasAPayload() throws Exception {
        client.goExtended("disk");
        assertThat(client.errorOf(0, Nbd.CMD_WRITE, 0, 512)).isEqualTo(Nbd.EINVAL);
        assertThat(client.errorOf(PAYLOAD, Nbd.CMD_WRITE, 0, 512, random(512))).isZero();
        assertThat(disk.bytes(0, 512)).isEqualTo(random(512));
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 3, 4, 5, 6, 7, 99})
    void aPayloadThatNobodyAskedForIsPassedOverAndRefused(int type) throws Exception {
        client.goExtended("disk", Nbd.BASE_ALLOCATION);
        for (int length : new int[] {1, 512, 100_000}) {
            assertThat(client.errorOf(PAYLOAD, type, 0, length, random(length))).isEqualTo(Nbd.EINVAL);
        }
        assertThat(client.read(0, 512)).containsOnly(0);
        assertThat(disk.allocatedBytes()).isZero();
    }

    @ParameterizedTest
    @ValueSource(longs = {(64 << 20) + 1, 1L << 32, 1L << 62, Long.MAX_VALUE, Long.MIN_VALUE, -1})
    void aPayloadThatIsAbsurdlyLongEndsTheConnection(long length) throws Exception {
        client.goExtended("disk").request(PAYLOAD, Nbd.CMD_WRITE, 1, 0, length);
        client.expectEnd();
        rig.expectGoodService("disk");
    }

    @ParameterizedTest
    @ValueSource(longs = {1L << 32, (1L << 33) + 4096, (9L << 30) - 4096})
    void zeroesAndTrimsOfMoreThanFourGibibytesAreDoneWhole(long length) throws Exception {
        byte[] mark = random(4096);
        client.goExtended("disk");
        for (int type : new int[] {Nbd.CMD_TRIM, Nbd.CMD_WRITE_ZEROES}) {
            disk.fill(4096, mark);
            disk.fill(length, mark);
            disk.fill(Math.min(length + 4096, DISK_BYTES - 4096), mark);
            assertThat(client.errorOf(0, type, 4096, length - 4096)).isZero();
            assertThat(client.read(4096, 4096)).containsOnly(0);
            assertThat(client.read(length - 4096, 4096)).containsOnly(0);
            assertThat(client.read(length, 4096)).isEqualTo(mark);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {DISK_BYTES + 512, 1L << 62, Long.MAX_VALUE, Long.MIN_VALUE, -512, -1})
    void anEffectBeyondTheEndIsRefused(long length) throws Exception {
        client.goExtended("disk", Nbd.BASE_ALLOCATION);
        disk.fill(0, random(4096));
        for (int type : new int[] {Nbd.CMD_READ, Nbd.CMD_TRIM, Nbd.CMD_CACHE, Nbd.CMD_BLOCK_STATUS}) {
            assertThat(client.errorOf(0, type, 0, length)).isIn(Nbd.EINVAL, Nbd.EOVERFLOW);
        }
        assertThat(client.errorOf(0, Nbd.CMD_WRITE_ZEROES, 0, length)).isEqualTo(Nbd.ENOSPC);
        assertThat(client.read(0, 4096)).isEqualTo(random(4096));
    }

    // ---- block status

    private ByteBuffer extents(Reply reply, int context) {
        assertThat(reply.type()).isEqualTo(Nbd.CHUNK_BLOCK_STATUS_EXT);
        ByteBuffer extents = reply.buffer();
        assertThat(extents.getInt()).as("context").isEqualTo(context);
        assertThat(extents.getInt()).as("count").isEqualTo(extents.remaining() / 16);
        assertThat(extents.remaining() % 16).isZero();
        return extents;
    }

    @Test
    void statusOfManyGibibytesIsOneExtent() throws Exception {
        client.goExtended("disk", Nbd.BASE_ALLOCATION);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, DISK_BYTES);
        ByteBuffer all = extents(client.reply(), 1);
        assertThat(all.getLong()).isEqualTo(DISK_BYTES);
        assertThat(all.getLong()).isEqualTo(3);
        assertThat(all.hasRemaining()).isFalse();
    }

    @Test
    void everyContextIsAnsweredOnceAndTheLastChunkSaysSo() throws Exception {
        disk.fill(8192, random(4096));
        client.goExtended("disk", Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 4096, 8192);
        Reply first = client.reply();
        Reply second = client.reply();
        assertThat(List.of(first.last(), second.last())).containsExactly(false, true);
        assertThat(longs(extents(first, 1))).containsExactly(4096L, 3L, 4096L, 0L);
        assertThat(longs(extents(second, 2))).containsExactly(4096L, 0L, 4096L, 1L);
        client.request(Nbd.CMD_FLAG_REQ_ONE, Nbd.CMD_BLOCK_STATUS, 2, 4096, 8192);
        assertThat(longs(extents(client.reply(), 1))).containsExactly(4096L, 3L);
        assertThat(longs(extents(client.reply(), 2))).containsExactly(4096L, 0L);
    }

    private static List<Long> longs(ByteBuffer buffer) {
        List<Long> values = new ArrayList<>();
        while (buffer.hasRemaining()) {
            values.add(buffer.getLong());
        }
        return values;
    }

    @Test
    void aPayloadChoosesAmongTheContexts() throws Exception {
        client.goExtended("disk", Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH);
        byte[] depth = Bytes.empty().u64(DISK_BYTES).u32(2).done();
        client.request(PAYLOAD, Nbd.CMD_BLOCK_STATUS, 1, 0, depth.length, depth);
        Reply only = client.reply();
        assertThat(only.last()).isTrue();
        assertThat(longs(extents(only, 2))).containsExactly(DISK_BYTES, 0L);
    }

    @Test
    void aPayloadThatNamesContextsWronglyIsRefused() throws Exception {
        client.goExtended("disk", Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH);
        List<Bytes> wrong = List.of(
                Bytes.empty().u64(4096).u32(3),
                Bytes.empty().u64(4096).u32(1).u32(1),
                Bytes.empty().u64(4096),
                Bytes.empty().u64(0).u32(1),
                Bytes.empty().u64(-1).u32(1),
                Bytes.empty().u64(DISK_BYTES + 1).u32(1),
                Bytes.empty().u64(4096).u32(1).u16(2),
                Bytes.empty().zeroes(70_000));
        for (Bytes payload : wrong) {
            byte[] data = payload.done();
            assertThat(client.errorOf(PAYLOAD, Nbd.CMD_BLOCK_STATUS, 0, data.length, data))
                    .isEqualTo(Nbd.EINVAL);
        }
        assertThat(client.read(0, 512)).hasSize(512);
    }

    @Test
    void aCompactRequestEndsTheConnection() throws Exception {
        client.goExtended("disk")
                .send(Bytes.empty().request(0, Nbd.CMD_READ, 1, 0, 512).zeroes(4));
        client.expectEnd();
    }

    // ---- the option

    @Test
    void theOptionTakesNoDataAndComesBeforeStructuredReplies() throws Exception {
        client.greet();
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_EXTENDED_HEADERS, (byte) 1)))
                .isEqualTo(Nbd.REP_ERR_INVALID);
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_STRUCTURED_REPLY)))
                .isEqualTo(Nbd.REP_ACK);
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_EXTENDED_HEADERS)))
                .isEqualTo(Nbd.REP_ACK);
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_STRUCTURED_REPLY)))
                .isEqualTo(Nbd.REP_ERR_EXT_HEADER_REQD);
        int flags = ByteBuffer.wrap(client.ask(Bytes.empty().info(Nbd.OPT_INFO, "disk"))
                        .getFirst()
                        .data())
                .getShort(10);
        assertThat(flags & Nbd.FLAG_BLOCK_STATUS_PAYLOAD).isNotZero();
        assertThat(flags & Nbd.FLAG_SEND_DF).isNotZero();
    }

    @Test
    void thereIsNoWayFromExtendedHeadersToExportName() throws Exception {
        client.greet();
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_EXTENDED_HEADERS)))
                .isEqualTo(Nbd.REP_ACK);
        client.send(Bytes.empty().option(Nbd.OPT_EXPORT_NAME, "disk".getBytes(StandardCharsets.UTF_8)));
        client.expectEnd();
    }

    @Test
    void withoutExtendedHeadersTheFlagOfPayloadsIsUnknown() throws Exception {
        client.go("disk");
        assertThat(client.errorOf(PAYLOAD, Nbd.CMD_WRITE, 0, 512, random(512))).isEqualTo(Nbd.EINVAL);
        assertThat(client.errorOf(PAYLOAD, Nbd.CMD_BLOCK_STATUS, 0, 512)).isEqualTo(Nbd.EINVAL);
        assertThat(client.read(0, 512)).containsOnly(0);
    }
}
