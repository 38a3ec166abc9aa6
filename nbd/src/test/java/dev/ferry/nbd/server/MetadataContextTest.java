package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockError;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.RawClient.OptionReply;
import dev.ferry.nbd.wire.RawClient.Reply;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What a tracking layer can hang onto an export: dirty bitmaps, any number of them, that come and go. */
@Timeout(180)
class MetadataContextTest {
    private static final long DISK_BYTES = 1 << 20;

    private final List<MetadataContext> bitmaps = new CopyOnWriteArrayList<>();
    private ServerRig rig;
    private RawClient client;

    @BeforeEach
    void start() throws IOException {
        rig = new ServerRig();
        Export export = Export.of(
                        "disk", CheckedDevice.of(new MemoryDisk(DISK_BYTES), "disk"), rig.exportLoop(), rig.buffers())
                .withContexts(() -> List.copyOf(bitmaps));
        rig.server().add(export);
        client = rig.connect();
    }

    @AfterEach
    void stop() throws IOException {
        client.close();
        rig.close();
    }

    /** Every other run of a length is dirty. */
    private record Striped(String name, long stripeBytes) implements MetadataContext {
        @Override
        public void extents(long offset, long length, ExtentSink sink, Completion completion) {
            long at = offset;
            while (at < offset + length) {
                long end = Math.min((at / stripeBytes + 1) * stripeBytes, offset + length);
                sink.extent(at, end - at, (int) (at / stripeBytes % 2));
                at = end;
            }
            completion.complete(null);
        }
    }

    private record Failing(String name, boolean says) implements MetadataContext {
        @Override
        public void extents(long offset, long length, ExtentSink sink, Completion completion) {
            completion.complete(says ? BlockError.of(ErrorKind.IO, name, "extents", "no") : null);
        }
    }

    private List<String> contexts(int option, String... queries) throws IOException {
        List<OptionReply> replies = client.ask(Bytes.empty().contexts(option, "disk", queries));
        assertThat(replies.getLast().type()).isEqualTo(Nbd.REP_ACK);
        return replies.stream()
                .limit(replies.size() - 1)
                .map(reply -> reply.text().substring(4))
                .toList();
    }

    private void greet() throws IOException {
        client.greet();
        assertThat(client.askType(Bytes.empty().option(Nbd.OPT_STRUCTURED_REPLY)))
                .isEqualTo(Nbd.REP_ACK);
    }

    @Test
    void bitmapsAreListedAndSelectedByName() throws Exception {
        greet();
        bitmaps.add(new Striped("qemu:dirty-bitmap:a", 4096));
        bitmaps.add(new Striped("qemu:dirty-bitmap:b", 8192));
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT))
                .containsExactly(
                        Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH, "qemu:dirty-bitmap:a", "qemu:dirty-bitmap:b");
        assertThat(contexts(Nbd.OPT_LIST_META_CONTEXT, "qemu:dirty-bitmap:"))
                .containsExactly("qemu:dirty-bitmap:a", "qemu:dirty-bitmap:b");
        assertThat(contexts(Nbd.OPT_SET_META_CONTEXT, "qemu:dirty-bitmap:b", "qemu:dirty-bitmap:c"))
                .containsExactly("qemu:dirty-bitmap:b");
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk"))).isEqualTo(Nbd.REP_ACK);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 4096, 16384);
        ByteBuffer extents = client.reply().buffer();
        assertThat(extents.getInt()).isEqualTo(4);
        assertThat(List.of(extents.getInt(), extents.getInt())).containsExactly(4096, 0);
        assertThat(List.of(extents.getInt(), extents.getInt())).containsExactly(8192, 1);
        assertThat(List.of(extents.getInt(), extents.getInt())).containsExactly(4096, 0);
        assertThat(extents.hasRemaining()).isFalse();
    }

    @Test
    void sixtyFourContextsAtOnceAreAnsweredEachByAChunkOfItsOwn() throws Exception {
        IntStream.range(0, 62).forEach(i -> bitmaps.add(new Striped("qemu:dirty-bitmap:" + i, 512L << i % 4)));
        greet();
        String[] all = contexts(Nbd.OPT_LIST_META_CONTEXT).toArray(String[]::new);
        assertThat(contexts(Nbd.OPT_SET_META_CONTEXT, all)).hasSize(64);
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk"))).isEqualTo(Nbd.REP_ACK);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, DISK_BYTES);
        boolean[] seen = new boolean[65];
        for (int i = 0; i < 64; i++) {
            Reply reply = client.reply();
            ByteBuffer extents = reply.buffer();
            int id = extents.getInt();
            assertThat(seen[id]).isFalse();
            seen[id] = true;
            assertThat(extents.remaining()).isPositive();
            assertThat(extents.remaining() % 8).isZero();
            assertThat(reply.last()).isEqualTo(i == 63);
        }
        assertThat(client.read(0, 512)).hasSize(512);
    }

    @Test
    void moreThanSixtyFourAreTooMany() throws Exception {
        IntStream.range(0, 63).forEach(i -> bitmaps.add(new Striped("qemu:dirty-bitmap:" + i, 4096)));
        greet();
        String[] all = contexts(Nbd.OPT_LIST_META_CONTEXT).toArray(String[]::new);
        assertThat(client.askType(Bytes.empty().contexts(Nbd.OPT_SET_META_CONTEXT, "disk", all)))
                .isEqualTo(Nbd.REP_ERR_TOO_BIG);
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk"))).isEqualTo(Nbd.REP_ACK);
        assertThat(client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 4096)).isEqualTo(Nbd.EINVAL);
    }

    @Test
    void oneContextThatFailsIsTheAnswerToAll() throws Exception {
        bitmaps.add(new Failing("qemu:dirty-bitmap:bad", true));
        bitmaps.add(new Failing("qemu:dirty-bitmap:mute", false));
        for (MetadataContext bad : List.copyOf(bitmaps)) {
            client = rig.connect();
            greet();
            assertThat(contexts(Nbd.OPT_SET_META_CONTEXT, Nbd.BASE_ALLOCATION, bad.name()))
                    .hasSize(2);
            assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk"))).isEqualTo(Nbd.REP_ACK);
            assertThat(client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 4096)).isEqualTo(Nbd.EIO);
            assertThat(client.read(0, 512)).hasSize(512);
            client.close();
        }
    }

    @Test
    void aBitmapThatWentBetweenItsSelectionAndTheExportIsAnError() throws Exception {
        bitmaps.add(new Striped("qemu:dirty-bitmap:a", 4096));
        greet();
        assertThat(contexts(Nbd.OPT_SET_META_CONTEXT, "qemu:dirty-bitmap:a")).hasSize(1);
        bitmaps.clear();
        assertThat(client.askType(Bytes.empty().info(Nbd.OPT_GO, "disk"))).isEqualTo(Nbd.REP_ACK);
        assertThat(client.errorOf(0, Nbd.CMD_BLOCK_STATUS, 0, 4096)).isEqualTo(Nbd.EIO);
    }
}
