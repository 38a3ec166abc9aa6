package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.RawClient.OptionReply;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Every option, its answers and its errors, byte by byte. */
@Timeout(30)
class HandshakeTest {
    private static final long DISK_BYTES = 10 << 20;
    private ServerRig rig;
    private RawClient client;

    @BeforeEach
    void serve() throws IOException {
        rig = new ServerRig();
        rig.export("a", new MemoryDisk(DISK_BYTES)).export("b", new MemoryDisk(2 * DISK_BYTES));
        client = rig.connect();
    }

    @AfterEach
    void stop() throws Exception {
        client.close();
        rig.awaitNoConnections();
        rig.expectGoodService("a");
        rig.close();
    }

    private void expectTransmission() throws IOException {
        client.request(0, Nbd.CMD_FLUSH, 9, 0, 0);
        RawClient.Reply reply = client.reply();
        assertThat(reply.cookie()).isEqualTo(9);
        assertThat(reply.error()).isZero();
    }

    private static Bytes option(int option, byte... data) {
        return Bytes.empty().option(option, data);
    }

    // ---- flags

    @Test
    void anUnknownClientFlagEndsTheConnection() throws Exception {
        client.greet(4 | Nbd.FLAG_FIXED_NEWSTYLE);
        client.expectEnd();
    }

    @Test
    void aWrongMagicNumberEndsTheConnection() throws Exception {
        client.greet()
                .send(Bytes.empty().u64(Nbd.OPTION_MAGIC + 1).u32(Nbd.OPT_LIST).u32(0));
        client.expectEnd();
    }

    // ---- EXPORT_NAME

    @Test
    void exportNameIsAnsweredByTenBytesWithNoZeroes() throws Exception {
        client.greet().send(option(Nbd.OPT_EXPORT_NAME, (byte) 'a'));
        ByteBuffer reply = ByteBuffer.wrap(client.receive(10));
        assertThat(reply.getLong()).isEqualTo(DISK_BYTES);
        assertThat(reply.getShort() & Nbd.FLAG_HAS_FLAGS).isEqualTo(Nbd.FLAG_HAS_FLAGS);
        expectTransmission();
    }

    @Test
    void exportNameIsAnsweredByTenBytesAndZeroesWithout() throws Exception {
        client.greet(Nbd.FLAG_FIXED_NEWSTYLE).send(option(Nbd.OPT_EXPORT_NAME, (byte) 'b'));
        ByteBuffer reply = ByteBuffer.wrap(client.receive(134));
        assertThat(reply.getLong()).isEqualTo(2 * DISK_BYTES);
        reply.getShort();
        while (reply.hasRemaining()) {
            assertThat(reply.get()).isZero();
        }
        expectTransmission();
    }

    @Test
    void exportNameOfNobodyEndsTheConnection() throws Exception {
        client.greet().send(option(Nbd.OPT_EXPORT_NAME, (byte) 'z'));
        client.expectEnd();
    }

    @Test
    void exportNameTooLongOrWithNulEndsTheConnection() throws Exception {
        client.greet().send(option(Nbd.OPT_EXPORT_NAME, new byte[4097]));
        client.expectEnd();
        try (RawClient other = rig.connect()) {
            other.greet().send(option(Nbd.OPT_EXPORT_NAME, (byte) 'a', (byte) 0));
            other.expectEnd();
        }
        try (RawClient other = rig.connect()) {
            other.greet()
                    .send(Bytes.empty()
                            .u64(Nbd.OPTION_MAGIC)
                            .u32(Nbd.OPT_EXPORT_NAME)
                            .u32(0xffffffffL));
            other.expectEnd();
        }
    }

    @Test
    void theEmptyNameIsTheOnlyExport() throws Exception {
        rig.server().remove("b", () -> {});
        client.greet().send(option(Nbd.OPT_EXPORT_NAME));
        assertThat(ByteBuffer.wrap(client.receive(10)).getLong()).isEqualTo(DISK_BYTES);
        expectTransmission();
    }

    @Test
    void theEmptyNameIsNobodyAmongMany() throws Exception {
        client.greet();
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, ""))).isEqualTo(Nbd.REP_ERR_UNKNOWN);
    }

    // ---- INFO, GO

    @Test
    void goSendsWhatWasAskedForAndNoPadding() throws Exception {
        client.greet();
        List<OptionReply> replies = client.ask(
                Bytes.empty().info(Nbd.OPT_GO, "a", Nbd.INFO_NAME, Nbd.INFO_DESCRIPTION, Nbd.INFO_BLOCK_SIZE, 0x7777));
        assertThat(replies).extracting(OptionReply::type).containsOnlyOnce(Nbd.REP_ACK);
        ByteBuffer export = ByteBuffer.wrap(replies.getFirst().data());
        assertThat(export.remaining()).isEqualTo(12);
        assertThat(export.getShort()).isEqualTo((short) Nbd.INFO_EXPORT);
        assertThat(export.getLong()).isEqualTo(DISK_BYTES);
        assertThat(replies.get(1).text()).isEqualTo("\0\1a");
        ByteBuffer sizes = ByteBuffer.wrap(replies.get(2).data());
        assertThat(sizes.remaining()).isEqualTo(14);
        assertThat(sizes.getShort()).isEqualTo((short) Nbd.INFO_BLOCK_SIZE);
        assertThat(sizes.getInt()).isEqualTo(1);
        assertThat(sizes.getInt()).isEqualTo(4096);
        assertThat(sizes.getInt()).isEqualTo(32 << 20);
        assertThat(replies).hasSize(4);
        expectTransmission();
    }

    @Test
    void theFlagsSayWhatTheDeviceCanDoAndDfOnlyWithStructuredReplies() throws Exception {
        int all = Nbd.FLAG_HAS_FLAGS
                | Nbd.FLAG_SEND_FLUSH
                | Nbd.FLAG_SEND_FUA
                | Nbd.FLAG_SEND_TRIM
                | Nbd.FLAG_SEND_WRITE_ZEROES
                | Nbd.FLAG_CAN_MULTI_CONN
                | Nbd.FLAG_SEND_CACHE
                | Nbd.FLAG_SEND_FAST_ZERO;
        client.greet();
        assertThat(flags("a")).isEqualTo(all);
        assertThat(client.askType(option(Nbd.OPT_STRUCTURED_REPLY))).isEqualTo(Nbd.REP_ACK);
        assertThat(flags("a")).isEqualTo(all | Nbd.FLAG_SEND_DF);
        rig.exportReadOnly("r", new MemoryDisk(4096));
        assertThat(flags("r"))
                .isEqualTo(Nbd.FLAG_HAS_FLAGS
                        | Nbd.FLAG_READ_ONLY
                        | Nbd.FLAG_SEND_FLUSH
                        | Nbd.FLAG_SEND_FUA
                        | Nbd.FLAG_CAN_MULTI_CONN
                        | Nbd.FLAG_SEND_CACHE
                        | Nbd.FLAG_SEND_DF);
    }

    private int flags(String name) throws IOException {
        byte[] export =
                client.ask(Bytes.empty().info(Nbd.OPT_INFO, name)).getFirst().data();
        return ByteBuffer.wrap(export).getShort(10);
    }

    @Test
    void infoLeavesTheHandshakeGoingOn() throws Exception {
        client.greet();
        for (int i = 0; i < 50; i++) {
            assertThat(client.askType(Bytes.empty().info(Nbd.OPT_INFO, i % 2 == 0 ? "a" : "b")))
                    .isEqualTo(Nbd.REP_ACK);
            assertThat(client.askType(Bytes.empty().info(Nbd.OPT_INFO, "nobody")))
                    .isEqualTo(Nbd.REP_ERR_UNKNOWN);
        }
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "a"))).isEqualTo(Nbd.REP_ACK);
        expectTransmission();
    }

    @ParameterizedTest
    @ValueSource(ints = {Nbd.OPT_INFO, Nbd.OPT_GO})
    void malformedInfoIsInvalidAndTheClientMayTryAgain(int option) throws Exception {
        client.greet();
        List<byte[]> malformed = List.of(
                new byte[0],
                new byte[3],
                new byte[5],
                Bytes.empty().u32(0xffffffffL).text("a").u16(0).done(),
                Bytes.empty().u32(0x7fffffff).text("a").u16(0).done(),
                Bytes.empty().u32(2).text("a").u16(0).done(),
                Bytes.empty().u32(3).text("a").u16(0).done(),
                Bytes.empty().u32(0).text("a").u16(0).done(),
                Bytes.empty().string("a").done(),
                Bytes.empty().string("a").u16(1).done(),
                Bytes.empty().string("a").u16(0xffff).u16(3).done(),
                Bytes.empty().string("a").u16(0).u8(0).done(),
                Bytes.empty().string("a\0").u16(0).done(),
                Bytes.empty().u32(1).u8(0xff).u16(0).done(),
                Bytes.empty().string("x".repeat(4097)).u16(0).done());
        for (byte[] data : malformed) {
            OptionReply reply = client.ask(option(option, data)).getLast();
            assertThat(reply.type()).isEqualTo(Nbd.REP_ERR_INVALID);
            assertThat(reply.text()).doesNotContain("xxx");
        }
        assertThat(client.askType(Bytes.empty().info(option, "x".repeat(4096)))).isEqualTo(Nbd.REP_ERR_UNKNOWN);
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "a"))).isEqualTo(Nbd.REP_ACK);
        expectTransmission();
    }

    // ---- LIST, ABORT, unknown ones

    @Test
    void listNamesAllExportsAndTakesNoData() throws Exception {
        client.greet();
        List<OptionReply> replies = client.ask(option(Nbd.OPT_LIST));
        assertThat(replies).extracting(OptionReply::type).containsExactly(Nbd.REP_SERVER, Nbd.REP_SERVER, Nbd.REP_ACK);
        assertThat(replies.get(0).text()).isEqualTo("\0\0\0\1a");
        assertThat(replies.get(1).text()).isEqualTo("\0\0\0\1b");
        assertThat(client.askType(option(Nbd.OPT_LIST, (byte) 1))).isEqualTo(Nbd.REP_ERR_INVALID);
    }

    @Test
    void abortIsAcknowledgedAndEndsTheConnection() throws Exception {
        client.greet();
        assertThat(client.askType(option(Nbd.OPT_ABORT))).isEqualTo(Nbd.REP_ACK);
        client.expectEnd();
    }

    @Test
    void abortWithoutWaitingHarmsNobody() throws Exception {
        client.greet().send(option(Nbd.OPT_ABORT));
        client.close();
        rig.awaitNoConnections();
        rig.expectGoodService("b");
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 4, Nbd.OPT_STARTTLS, 12, 0x7fffffff, -1})
    void whatIsNotKnownIsUnsupportedWithDataAndWithout(int option) throws Exception {
        client.greet();
        assertThat(client.askType(option(option))).isEqualTo(Nbd.REP_ERR_UNSUP);
        assertThat(client.askType(option(option, new byte[60_000]))).isEqualTo(Nbd.REP_ERR_UNSUP);
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "a"))).isEqualTo(Nbd.REP_ACK);
        expectTransmission();
    }

    @Test
    void anOptionTooLongIsPassedOverAndRefused() throws Exception {
        client.greet();
        int skipped = 3 << 20;
        assertThat(client.askType(option(Nbd.OPT_GO, new byte[skipped]))).isEqualTo(Nbd.REP_ERR_TOO_BIG);
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "a"))).isEqualTo(Nbd.REP_ACK);
        expectTransmission();
    }

    @ParameterizedTest
    @ValueSource(longs = {(32 << 20) + 1, 0x7fffffffL, 0x80000000L, 0xffffffffL})
    void anOptionAbsurdlyLongEndsTheConnection(long length) throws Exception {
        client.greet().send(Bytes.empty().u64(Nbd.OPTION_MAGIC).u32(Nbd.OPT_GO).u32(length));
        client.expectEnd();
    }

    @Test
    void optionsMayComeByteByByteOrAllAtOnce() throws Exception {
        client.greet();
        byte[] all = Bytes.empty()
                .option(Nbd.OPT_STRUCTURED_REPLY)
                .contexts(Nbd.OPT_SET_META_CONTEXT, "a", Nbd.BASE_ALLOCATION)
                .info(Nbd.OPT_GO, "a")
                .request(0, Nbd.CMD_FLUSH, 5, 0, 0)
                .done();
        for (byte one : all) {
            client.send(one);
        }
        expectAll(client);
        try (RawClient other = rig.connect()) {
            other.greet().send(all);
            expectAll(other);
        }
    }

    private static void expectAll(RawClient of) throws IOException {
        assertThat(of.optionReply().option()).isEqualTo(Nbd.OPT_STRUCTURED_REPLY);
        assertThat(of.optionReply().type()).isEqualTo(Nbd.REP_META_CONTEXT);
        assertThat(of.optionReply().option()).isEqualTo(Nbd.OPT_SET_META_CONTEXT);
        assertThat(of.optionReply().type()).isEqualTo(Nbd.REP_INFO);
        assertThat(of.optionReply().type()).isEqualTo(Nbd.REP_ACK);
        assertThat(of.reply().cookie()).isEqualTo(5);
    }

    // ---- structured replies, metadata contexts

    @Test
    void structuredReplyTakesNoDataAndMayBeRepeated() throws Exception {
        client.greet();
        assertThat(client.askType(option(Nbd.OPT_STRUCTURED_REPLY, (byte) 0))).isEqualTo(Nbd.REP_ERR_INVALID);
        assertThat(client.askType(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, "a", Nbd.BASE_ALLOCATION)))
                .as("structured replies were refused")
                .isEqualTo(Nbd.REP_ERR_INVALID);
        assertThat(client.askType(option(Nbd.OPT_STRUCTURED_REPLY))).isEqualTo(Nbd.REP_ACK);
        assertThat(client.askType(option(Nbd.OPT_STRUCTURED_REPLY))).isEqualTo(Nbd.REP_ACK);
    }

    @Test
    void contextsAreListedByWildcardByNameAndByNothing() throws Exception {
        client.greet();
        client.ask(option(Nbd.OPT_STRUCTURED_REPLY));
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT)).containsExactly(Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH);
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT, "base:")).containsExactly(Nbd.BASE_ALLOCATION);
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT, "base:allocation", "base:"))
                .containsExactly(Nbd.BASE_ALLOCATION);
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT, "qemu:")).containsExactly(Nbd.ALLOCATION_DEPTH);
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT, "nobody:x", "nobody:", "base:other", "qemu:dirty-bitmap:"))
                .isEmpty();
        assertThat(contexts(Nbd.OPT_SET_META_CONTEXT, "base:")).isEmpty();
        assertThat(contexts(Nbd.OPT_SET_META_CONTEXT)).isEmpty();
        assertThat(contexts(Nbd.OPT_SET_META_CONTEXT, "nobody:x", Nbd.BASE_ALLOCATION))
                .containsExactly(Nbd.BASE_ALLOCATION);
    }

    private List<String> contexts(int option, String... queries) throws IOException {
        List<OptionReply> replies = client.ask(Bytes.empty().contexts(option, "a", queries));
        assertThat(replies.getLast().type()).isEqualTo(Nbd.REP_ACK);
        return replies.stream()
                .limit(replies.size() - 1)
                .map(reply -> reply.text().substring(4))
                .toList();
    }

    @ParameterizedTest
    @ValueSource(ints = {Nbd.OPT_LIST_META_CONTEXT, Nbd.OPT_SET_META_CONTEXT})
    void malformedQueriesAreRefused(int option) throws Exception {
        client.greet();
        client.ask(option(Nbd.OPT_STRUCTURED_REPLY));
        List<byte[]> malformed = List.of(
                new byte[0],
                Bytes.empty().string("a").done(),
                Bytes.empty().u32(0xffffffffL).text("a").u32(0).done(),
                Bytes.empty().string("a").u32(1).done(),
                Bytes.empty().string("a").u32(1).u32(0xffffffffL).text("base:").done(),
                Bytes.empty().string("a").u32(2).string("base:").done(),
                Bytes.empty().string("a").u32(0).string("base:").done(),
                Bytes.empty().string("a").u32(1).string("x".repeat(4097)).done(),
                Bytes.empty().string("a\0").u32(0).done());
        for (byte[] data : malformed) {
            assertThat(client.askType(option(option, data))).isEqualTo(Nbd.REP_ERR_INVALID);
        }
        assertThat(client.askType(option(
                        option, Bytes.empty().string("a").u32(0xffffffffL).done())))
                .isEqualTo(Nbd.REP_ERR_TOO_BIG);
        assertThat(client.askType(Bytes.empty().contexts(option, "nobody", Nbd.BASE_ALLOCATION)))
                .isEqualTo(Nbd.REP_ERR_UNKNOWN);
    }

    /** What becomes of BLOCK_STATUS after SET_META_CONTEXT for "a", another option, and GO for an export. */
    private int statusAfter(Bytes between, String goTo) throws IOException {
        client.greet();
        client.ask(option(Nbd.OPT_STRUCTURED_REPLY));
        assertThat(client.askType(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, "a", Nbd.BASE_ALLOCATION)))
                .isEqualTo(Nbd.REP_ACK);
        client.ask(between);
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, goTo))).isEqualTo(Nbd.REP_ACK);
        return client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 4096);
    }

    @Test
    void blockStatusWorksForTheExportItWasSelectedFor() throws Exception {
        assertThat(statusAfter(Bytes.empty().contexts(Nbd.OPT_LIST_META_CONTEXT, "b"), "a"))
                .isZero();
    }

    @Test
    void blockStatusIsInvalidForAnotherExport() throws Exception {
        assertThat(statusAfter(option(Nbd.OPT_LIST), "b")).isEqualTo(Nbd.EINVAL);
    }

    @Test
    void selectingAgainReplacesWhatWasSelected() throws Exception {
        assertThat(statusAfter(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, "a"), "a"))
                .isEqualTo(Nbd.EINVAL);
    }

    @Test
    void selectingAgainReplacesEvenWhereItFails() throws Exception {
        assertThat(statusAfter(option(Nbd.OPT_SET_META_CONTEXT), "a")).isEqualTo(Nbd.EINVAL);
    }

    @Test
    void selectingAgainReplacesEvenForNobody() throws Exception {
        assertThat(statusAfter(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, "nobody", Nbd.BASE_ALLOCATION), "a"))
                .isEqualTo(Nbd.EINVAL);
    }

    @Test
    void selectingAgainReplacesEvenWhereItIsTooLong() throws Exception {
        assertThat(statusAfter(option(Nbd.OPT_SET_META_CONTEXT, new byte[70_000]), "a"))
                .isEqualTo(Nbd.EINVAL);
    }

    @Test
    void withoutSelectionThereIsNoBlockStatus() throws Exception {
        client.greet();
        client.ask(option(Nbd.OPT_STRUCTURED_REPLY));
        client.ask(Bytes.empty().info(Nbd.OPT_GO, "a"));
        assertThat(client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 4096)).isEqualTo(Nbd.EINVAL);
    }
}
