package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.Capabilities;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Geometry;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.RawClient.Reply;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every command, its flags and its errors, on a disk that is large and almost empty. */
@Timeout(180)
class TransmissionTest {
    private static final long GIBI = 1L << 30;
    private static final long DISK_BYTES = 6 * GIBI;
    private static final int MAX = Geometry.MAX_TRANSFER_BYTES;

    private final MemoryDisk disk = new MemoryDisk(DISK_BYTES);
    private ServerRig rig;
    private RawClient client;

    @BeforeEach
    void serve() throws IOException {
        rig = new ServerRig();
        rig.export("disk", CheckedDevice.of(disk, "disk")).exportReadOnly("read-only", new MemoryDisk(1 << 20));
        client = rig.connect();
    }

    @AfterEach
    void stop() throws Exception {
        client.close();
        rig.awaitNoConnections();
        rig.expectGoodService("disk");
        rig.close();
    }

    private static byte[] random(int length) {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        return bytes;
    }

    private void expectStillGood() throws IOException {
        assertThat(client.errorOf(0, Nbd.CMD_FLUSH, 0, 0)).isZero();
    }

    // ---- framing

    @Test
    void aWrongMagicNumberEndsTheConnection() throws Exception {
        client.go("disk").send(Bytes.empty().u32(Nbd.REQUEST_MAGIC + 1).zeroes(24));
        client.expectEnd();
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 9, 255, 0x8000, 0xffff})
    void anUnknownCommandIsInvalidAndNothingMore(int type) throws Exception {
        client.go("disk");
        assertThat(client.errorOf(0, type, 0, 512)).isEqualTo(Nbd.EINVAL);
        expectStillGood();
    }

    @ParameterizedTest
    @CsvSource({
        "0x20, 0",
        "0x8000, 0",
        "2, 0",
        "8, 0",
        "0x10, 0",
        "2, 3",
        "4, 3",
        "2, 4",
        "0x10, 4",
        "4, 5",
        "4, 6",
        "8, 6",
        "2, 7",
        "4, 7",
        "0x20, 6",
        "0x20, 7"
    })
    void aFlagThatTheCommandDoesNotHaveIsInvalid(String flags, int type) throws Exception {
        client.go("disk");
        long length = type == Nbd.CMD_FLUSH ? 0 : 512;
        assertThat(client.errorOf(Integer.decode(flags), type, 0, length)).isEqualTo(Nbd.EINVAL);
        expectStillGood();
    }

    @Test
    void theDataOfARefusedWriteIsPassedOver() throws Exception {
        client.go("disk");
        byte[] looksLikeRequests =
                Bytes.empty().request(0, Nbd.CMD_TRIM, 1, 0, 4096).zeroes(100).done();
        assertThat(client.errorOf(2, Nbd.CMD_WRITE, 0, looksLikeRequests.length, looksLikeRequests))
                .isEqualTo(Nbd.EINVAL);
        assertThat(client.errorOf(0, Nbd.CMD_WRITE, DISK_BYTES - 1, 100_000, random(100_000)))
                .isEqualTo(Nbd.ENOSPC);
        assertThat(disk.allocatedBytes()).isZero();
        expectStillGood();
    }

    @Test
    void flushTakesNoRange() throws Exception {
        client.go("disk");
        assertThat(client.errorOf(0, Nbd.CMD_FLUSH, 0, 1)).isEqualTo(Nbd.EINVAL);
        assertThat(client.errorOf(0, Nbd.CMD_FLUSH, 1, 0)).isEqualTo(Nbd.EINVAL);
        expectStillGood();
    }

    // ---- reads and writes

    @ParameterizedTest
    @ValueSource(ints = {1, 511, 4096, 32 << 10, (32 << 10) + 1, 100_000, 1 << 20, Geometry.MAX_TRANSFER_BYTES})
    void whatIsWrittenIsRead(int length) throws Exception {
        client.go("disk");
        byte[] data = random(length);
        assertThat(client.errorOf(0, Nbd.CMD_WRITE, 3 * GIBI - 1, length, data)).isZero();
        assertThat(client.read(3 * GIBI - 1, length)).isEqualTo(data);
        assertThat(client.read(3 * GIBI - 2, 1)).containsExactly(0);
        assertThat(client.read(3 * GIBI - 1 + length, 1)).containsExactly(0);
    }

    @Test
    void simpleRepliesCarryDataToo() throws Exception {
        client.goSimple("disk");
        byte[] data = random(70_000);
        assertThat(client.errorOf(0, Nbd.CMD_WRITE, 5, data.length, data)).isZero();
        client.request(0, Nbd.CMD_READ, 3, 5, data.length);
        Reply reply = client.reply(data.length);
        assertThat(reply.type()).isEqualTo(-1);
        assertThat(reply.payload()).isEqualTo(data);
        assertThat(client.errorOf(0, Nbd.CMD_READ, DISK_BYTES, 1)).isEqualTo(Nbd.EINVAL);
        assertThat(client.errorOf(Nbd.CMD_FLAG_DF, Nbd.CMD_READ, 0, 1)).isEqualTo(Nbd.EINVAL);
        assertThat(client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 1)).isEqualTo(Nbd.EINVAL);
        expectStillGood();
    }

    @Test
    void dontFragmentGivesOneChunk() throws Exception {
        disk.fill(4096, random(4096));
        client.go("disk");
        client.request(Nbd.CMD_FLAG_DF, Nbd.CMD_READ, 4, 4096, 1 << 20);
        Reply reply = client.reply();
        assertThat(reply.type()).isEqualTo(Nbd.CHUNK_OFFSET_DATA);
        assertThat(reply.last()).isTrue();
        assertThat(reply.buffer().getLong()).isEqualTo(4096);
        assertThat(reply.payload()).hasSize(8 + (1 << 20));
    }

    @Test
    void lengthZeroDoesNothingAndHarmsNothing() throws Exception {
        client.go("disk");
        client.request(0, Nbd.CMD_READ, 1, 0, 0);
        Reply nothing = client.reply();
        assertThat(nothing.error()).isZero();
        assertThat(nothing.last()).isTrue();
        assertThat(nothing.type()).isEqualTo(Nbd.CHUNK_NONE);
        for (int type : new int[] {Nbd.CMD_WRITE, Nbd.CMD_TRIM, Nbd.CMD_WRITE_ZEROES, Nbd.CMD_CACHE}) {
            assertThat(client.errorOf(0, type, 0, 0)).isZero();
            assertThat(client.errorOf(0, type, DISK_BYTES, 0)).isZero();
        }
        assertThat(client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 0)).isEqualTo(Nbd.EINVAL);
        expectStillGood();
    }

    @Test
    void readsThatAreTooLongAreRefused() throws Exception {
        client.go("disk");
        for (long length : new long[] {MAX + 1, 64L << 20, 0x7fffffffL, 0x80000000L, 0xffffffffL}) {
            assertThat(client.errorOf(0, Nbd.CMD_READ, 0, length)).isEqualTo(Nbd.EOVERFLOW);
        }
        expectStillGood();
        try (RawClient simple = rig.connect()) {
            simple.goSimple("disk");
            assertThat(simple.errorOf(0, Nbd.CMD_READ, 0, MAX + 1)).isEqualTo(Nbd.EINVAL);
        }
    }

    @Test
    void aWriteThatIsTooLongIsPassedOverAndRefused() throws Exception {
        client.go("disk");
        assertThat(client.errorOf(0, Nbd.CMD_WRITE, 0, MAX + 1, new byte[MAX + 1]))
                .isEqualTo(Nbd.EINVAL);
        assertThat(disk.allocatedBytes()).isZero();
        expectStillGood();
    }

    @ParameterizedTest
    @ValueSource(longs = {(64 << 20) + 1, 0x7fffffffL, 0x80000000L, 0xffffffffL})
    void aWriteThatIsAbsurdlyLongEndsTheConnection(long length) throws Exception {
        client.go("disk").request(0, Nbd.CMD_WRITE, 1, 0, length);
        client.expectEnd();
    }

    // ---- ranges

    @ParameterizedTest
    @CsvSource({
        "6442450943, 2",
        "6442450944, 1",
        "6442450945, 0",
        "6442450945, 1",
        "4294967296, 4294967295",
        "9223372036854775807, 1",
        "9223372036854775807, 0",
        "9223372036854775807, 33554432",
        "-9223372036854775808, 1",
        "-1, 1",
        "-1, 2",
        "-4096, 4096",
        "-4096, 8192"
    })
    void whatReachesPastTheEndIsRefused(long offset, long length) throws Exception {
        client.go("disk");
        if (length <= MAX) {
            assertThat(client.errorOf(0, Nbd.CMD_READ, offset, length)).isEqualTo(Nbd.EINVAL);
            assertThat(client.errorOf(0, Nbd.CMD_WRITE, offset, length, new byte[(int) length]))
                    .isEqualTo(Nbd.ENOSPC);
        }
        assertThat(client.errorOf(0, Nbd.CMD_WRITE_ZEROES, offset, length)).isEqualTo(Nbd.ENOSPC);
        for (int type : new int[] {Nbd.CMD_TRIM, Nbd.CMD_CACHE, Nbd.CMD_BLOCK_STATUS}) {
            assertThat(client.errorOf(0, type, offset, length)).isEqualTo(Nbd.EINVAL);
        }
        expectStillGood();
    }

    @ParameterizedTest
    @CsvSource({
        "4, 0x7ffff000",
        "4, 0x80000000",
        "4, 0x80001000",
        "4, 0xfffff000",
        "4, 0xffffffff",
        "6, 0x7ffff000",
        "6, 0x80000000",
        "6, 0xfffff000",
        "6, 0xffffffff"
    })
    void trimsAndZeroesOfGibibytesChangeTheirRangeAndNothingElse(int type, String hexLength) throws Exception {
        long length = Long.decode(hexLength);
        byte[] mark = random(4096);
        long offset = GIBI;
        disk.fill(offset - 4096, mark);
        disk.fill(offset, mark);
        disk.fill(offset + GIBI, mark);
        long lastPage = (offset + length - 4096) & -4096L;
        disk.fill(lastPage, mark);
        disk.fill(lastPage + 8192, mark);
        client.go("disk");
        assertThat(client.errorOf(0, type, offset, length)).isZero();
        assertThat(client.read(offset - 4096, 4096)).isEqualTo(mark);
        assertThat(client.read(offset, 4096)).containsOnly(0);
        assertThat(client.read(offset + GIBI, 4096)).containsOnly(0);
        assertThat(client.read(lastPage, 4096)).containsOnly(0);
        assertThat(client.read(lastPage + 8192, 4096)).isEqualTo(mark);
    }

    @Test
    void zeroesWithoutHoleStayAllocated() throws Exception {
        client.go("disk");
        assertThat(client.errorOf(Nbd.CMD_FLAG_NO_HOLE, Nbd.CMD_WRITE_ZEROES, 0, 1 << 20))
                .isZero();
        assertThat(disk.allocatedBytes()).isEqualTo(1 << 20);
        assertThat(client.errorOf(Nbd.CMD_FLAG_FAST_ZERO, Nbd.CMD_WRITE_ZEROES, 0, 1 << 20))
                .isZero();
        assertThat(disk.allocatedBytes()).isZero();
    }

    @Test
    void aFastZeroOnASlowDeviceFailsAndChangesNothing() throws Exception {
        Capabilities slow = new Capabilities(false, false, true, false, false, false, false);
        MemoryDisk slowDisk = new MemoryDisk(Geometry.ofBytes(1 << 20), slow);
        slowDisk.fill(0, random(8192));
        rig.export("slow", CheckedDevice.of(slowDisk, "slow"));
        client.go("slow");
        assertThat(client.errorOf(Nbd.CMD_FLAG_FAST_ZERO, Nbd.CMD_WRITE_ZEROES, 0, 8192))
                .isEqualTo(Nbd.ENOTSUP);
        assertThat(client.read(0, 8192)).isEqualTo(random(8192));
    }

    // ---- block status

    private ByteBuffer status(int flags, long offset, long length) throws IOException {
        client.request(flags, Nbd.CMD_BLOCK_STATUS, 6, offset, length);
        Reply reply = client.reply();
        assertThat(reply.type()).isEqualTo(Nbd.CHUNK_BLOCK_STATUS);
        assertThat(reply.last()).as("one chunk for the one context").isTrue();
        ByteBuffer extents = reply.buffer();
        assertThat(extents.getInt()).as("context").isEqualTo(1);
        return extents;
    }

    @Test
    void statusTellsHolesFromData() throws Exception {
        disk.fill(8192, random(4096));
        client.go("disk");
        ByteBuffer extents = status(0, 0, 1 << 20);
        assertThat(extents.getInt()).isEqualTo(8192);
        assertThat(extents.getInt()).isEqualTo(3);
        assertThat(extents.getInt()).isEqualTo(4096);
        assertThat(extents.getInt()).isEqualTo(0);
        assertThat(extents.getInt()).isEqualTo((1 << 20) - 12288);
        assertThat(extents.getInt()).isEqualTo(3);
        assertThat(extents.hasRemaining()).isFalse();
    }

    @Test
    void requestOneGivesOneExtentWithinTheRequest() throws Exception {
        disk.fill(8192, random(4096));
        client.go("disk");
        ByteBuffer one = status(Nbd.CMD_FLAG_REQ_ONE, 0, 1 << 20);
        assertThat(one.getInt()).isEqualTo(8192);
        assertThat(one.getInt()).isEqualTo(3);
        assertThat(one.hasRemaining()).isFalse();
        assertThat(status(Nbd.CMD_FLAG_REQ_ONE, 9000, 10).getInt()).isEqualTo(10);
    }

    @ParameterizedTest
    @ValueSource(strings = {"0x7fffffff", "0x80000000", "0xfffff000", "0xffffffff"})
    void statusOfGibibytesIsWhole(String hexLength) throws Exception {
        long length = Long.decode(hexLength);
        disk.fill(GIBI, random(4096));
        client.go("disk");
        ByteBuffer extents = status(0, 512, length);
        long sum = 0;
        while (extents.hasRemaining()) {
            sum += Integer.toUnsignedLong(extents.getInt());
            extents.getInt();
        }
        assertThat(sum).isEqualTo(length);
    }

    @Test
    void statusOfAScatteredDiskStopsEarlyAndIsContinuedByTheClient() throws Exception {
        int pages = 20_000;
        for (int i = 0; i < pages; i += 2) {
            disk.fill(i * 4096L, new byte[] {1});
        }
        client.go("disk");
        long at = 0;
        while (at < pages * 4096L) {
            ByteBuffer extents = status(0, at, pages * 4096L - at);
            assertThat(extents.remaining()).isGreaterThanOrEqualTo(8);
            while (extents.hasRemaining()) {
                assertThat(extents.getInt()).isEqualTo(4096);
                assertThat(extents.getInt()).isEqualTo(at / 4096 % 2 == 0 ? 0 : 3);
                at += 4096;
            }
        }
        assertThat(at).isEqualTo(pages * 4096L);
    }

    // ---- flags, read-only, alignment

    @ParameterizedTest
    @CsvSource({"0, 512", "1, 512", "3, 0", "4, 512", "5, 512", "6, 512", "7, 512"})
    void fuaIsAcceptedOnEveryCommand(int type, int length) throws Exception {
        client.go("disk");
        byte[] data = type == Nbd.CMD_WRITE ? random(length) : new byte[0];
        assertThat(client.errorOf(Nbd.CMD_FLAG_FUA, type, 0, length, data)).isZero();
        expectStillGood();
    }

    @Test
    void aReadOnlyExportIsNotChanged() throws Exception {
        client.go("read-only");
        for (int flags : new int[] {0, Nbd.CMD_FLAG_FUA}) {
            assertThat(client.errorOf(flags, Nbd.CMD_WRITE, 0, 512, random(512)))
                    .isEqualTo(Nbd.EPERM);
            assertThat(client.errorOf(flags, Nbd.CMD_TRIM, 0, 512)).isEqualTo(Nbd.EPERM);
            assertThat(client.errorOf(flags, Nbd.CMD_WRITE_ZEROES, 0, 512)).isEqualTo(Nbd.EPERM);
        }
        assertThat(client.read(0, 1 << 20)).containsOnly(0);
        expectStillGood();
    }

    @Test
    void whatIsNotAlignedToTheBlockIsInvalid() throws Exception {
        Geometry blocks = new Geometry((1 << 20) + 512, 4096, 4096, MAX);
        rig.export("blocks", CheckedDevice.of(new MemoryDisk(blocks, Capabilities.ALL), "blocks"));
        client.greet();
        client.ask(Bytes.empty().option(Nbd.OPT_STRUCTURED_REPLY));
        var replies = client.ask(Bytes.empty().info(Nbd.OPT_GO, "blocks"));
        assertThat(ByteBuffer.wrap(replies.getFirst().data()).getLong(2))
                .as("a size that clients can name")
                .isEqualTo(1 << 20);
        assertThat(ByteBuffer.wrap(replies.get(1).data()).getShort())
                .as("block sizes are told without being asked for")
                .isEqualTo((short) Nbd.INFO_BLOCK_SIZE);
        for (int type : new int[] {Nbd.CMD_READ, Nbd.CMD_TRIM, Nbd.CMD_WRITE_ZEROES, Nbd.CMD_CACHE}) {
            assertThat(client.errorOf(0, type, 512, 4096)).isEqualTo(Nbd.EINVAL);
            assertThat(client.errorOf(0, type, 4096, 512)).isEqualTo(Nbd.EINVAL);
        }
        assertThat(client.errorOf(0, Nbd.CMD_WRITE, 4096, 512, random(512))).isEqualTo(Nbd.EINVAL);
        expectStillGood();
    }

    @Test
    void structuredErrorsCarryAText() throws Exception {
        client.go("disk").request(0, Nbd.CMD_READ, 11, DISK_BYTES, 1);
        Reply reply = client.reply();
        assertThat(reply.type()).isEqualTo(Nbd.CHUNK_ERROR);
        assertThat(reply.last()).isTrue();
        ByteBuffer error = reply.buffer();
        assertThat(error.getInt()).isEqualTo(Nbd.EINVAL);
        int textBytes = error.getShort();
        assertThat(error.remaining()).isEqualTo(textBytes);
    }

    @Test
    void manyRequestsAtOnceAreAllAnsweredEachOnce() throws Exception {
        client.go("disk");
        int count = 1000;
        Bytes all = Bytes.empty();
        for (int i = 0; i < count; i++) {
            switch (i % 4) {
                case 0 -> all.request(0, Nbd.CMD_WRITE, i, i * 512L, 512).raw(random(512));
                case 1 -> all.request(0, Nbd.CMD_READ, i, i * 512L, 512);
                case 2 -> all.request(0, Nbd.CMD_READ, i, DISK_BYTES, 512);
                default -> all.request(0, Nbd.CMD_BLOCK_STATUS, i, 0, 65536);
            }
        }
        Thread sender = Thread.startVirtualThread(() -> {
            try {
                client.send(all);
            } catch (IOException lost) {
                throw new UncheckedIOException(lost);
            }
        });
        boolean[] answered = new boolean[count];
        for (int i = 0; i < count; i++) {
            Reply reply = client.reply();
            assertThat(reply.last()).isTrue();
            int cookie = (int) reply.cookie();
            assertThat(answered[cookie]).isFalse();
            answered[cookie] = true;
            assertThat(reply.error()).isEqualTo(cookie % 4 == 2 ? Nbd.EINVAL : 0);
        }
        sender.join();
    }

    @Test
    void disconnectIsNotAnsweredButWhatCameBeforeIs() throws Exception {
        client.go("disk")
                .send(Bytes.empty()
                        .request(0, Nbd.CMD_READ, 1, 0, 512)
                        .request(0, Nbd.CMD_DISC, 2, 0, 0)
                        .request(0, Nbd.CMD_READ, 3, 0, 512));
        assertThat(client.reply().cookie()).isEqualTo(1);
        client.expectEnd();
    }
}
