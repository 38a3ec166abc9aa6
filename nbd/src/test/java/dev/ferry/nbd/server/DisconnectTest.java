package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.CheckedDevice;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.MemoryDisk;
import java.net.StandardSocketOptions;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Clients that leave in the middle: of the handshake, a request, its data, or the answer. */
@Timeout(180)
class DisconnectTest {
    private static final int WRITE_BYTES = 96;

    /** Nothing of the conversation changes what is there. */
    private static final int READ_AT = 16384;

    /** A whole conversation of a client, from its flags to its disconnect. */
    private static byte[] conversation() {
        return Bytes.empty()
                .u32(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)
                .option(Nbd.OPT_STRUCTURED_REPLY)
                .contexts(Nbd.OPT_SET_META_CONTEXT, "disk", Nbd.BASE_ALLOCATION)
                .option(Nbd.OPT_LIST)
                .info(Nbd.OPT_GO, "disk", Nbd.INFO_BLOCK_SIZE)
                .request(0, Nbd.CMD_WRITE, 1, 0, WRITE_BYTES)
                .raw(new byte[WRITE_BYTES])
                .request(0, Nbd.CMD_READ, 2, READ_AT, 4096)
                .request(0, Nbd.CMD_BLOCK_STATUS, 3, 0, 1 << 20)
                .request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE_ZEROES, 4, 0, 8192)
                .request(0, Nbd.CMD_FLUSH, 5, 0, 0)
                .request(0, Nbd.CMD_DISC, 6, 0, 0)
                .done();
    }

    /** The same with extended headers and two contexts. */
    private static byte[] extendedConversation() {
        return Bytes.empty()
                .u32(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)
                .option(Nbd.OPT_EXTENDED_HEADERS)
                .contexts(Nbd.OPT_SET_META_CONTEXT, "disk", Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH)
                .info(Nbd.OPT_GO, "disk", Nbd.INFO_BLOCK_SIZE)
                .extendedRequest(Nbd.CMD_FLAG_PAYLOAD_LEN, Nbd.CMD_WRITE, 1, 0, WRITE_BYTES)
                .raw(new byte[WRITE_BYTES])
                .extendedRequest(0, Nbd.CMD_READ, 2, 0, 4096)
                .extendedRequest(Nbd.CMD_FLAG_PAYLOAD_LEN, Nbd.CMD_BLOCK_STATUS, 3, 0, 12)
                .u64(1 << 20)
                .u32(2)
                .extendedRequest(Nbd.CMD_FLAG_PAYLOAD_LEN, Nbd.CMD_TRIM, 4, 0, 20)
                .zeroes(20)
                .extendedRequest(0, Nbd.CMD_DISC, 6, 0, 0)
                .done();
    }

    @ParameterizedTest
    @EnumSource(names = {"AUTO", "EPOLL"})
    void theClientLeavesAfterEveryByte(EventLoops.Kind kind) throws Exception {
        leaveAfterEveryByte(kind, conversation());
        leaveAfterEveryByte(kind, extendedConversation());
    }

    private static void leaveAfterEveryByte(EventLoops.Kind kind, byte[] all) throws Exception {
        try (ServerRig rig = new ServerRig(kind, ServerSettings.DEFAULT)) {
            rig.export("disk", CheckedDevice.of(new MemoryDisk(1 << 20), "disk"));
            for (int length = 0; length <= all.length; length++) {
                try (RawClient client = rig.connect()) {
                    client.send(Arrays.copyOf(all, length));
                }
            }
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
            rig.awaitNoConnections();
        }
    }

    @Test
    void theClientStopsSendingAfterEveryByteAndIsAnsweredWhatItAsked() throws Exception {
        byte[] all = conversation();
        byte[] whole = Bytes.empty().done();
        MemoryDisk disk = new MemoryDisk(1 << 20);
        byte[] data = new byte[4096];
        Arrays.fill(data, (byte) 1);
        disk.fill(READ_AT, data);
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", CheckedDevice.of(disk, "disk"));
            for (int length = 0; length <= all.length; length++) {
                try (RawClient client = rig.connect()) {
                    client.send(Arrays.copyOf(all, length));
                    client.channel().shutdownOutput();
                    byte[] answered = client.receiveToEnd();
                    int common = Math.min(whole.length, answered.length);
                    assertThat(Arrays.copyOf(answered, common)).isEqualTo(Arrays.copyOf(whole, common));
                    assertThat(answered.length)
                            .as("answers grow with what was asked")
                            .isGreaterThanOrEqualTo(whole.length);
                    whole = answered;
                }
            }
            assertThat(whole).hasSizeGreaterThan(4096);
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        }
    }

    @Test
    void theClientLeavesWithLongWritesHalfSent() throws Exception {
        MemoryDisk disk = new MemoryDisk(64 << 20);
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", CheckedDevice.of(disk, "disk"));
            int length = 1 << 20;
            for (int sent : new int[] {0, 1, 4095, 4096, 32 << 10, 64 << 10, (64 << 10) + 1, length - 1}) {
                try (RawClient client = rig.connect()) {
                    client.go("disk").request(0, Nbd.CMD_WRITE, 1, 0, length, new byte[sent]);
                }
            }
            rig.awaitNoConnections();
            assertThat(disk.allocatedBytes()).as("no write that is not whole").isZero();
            rig.expectGoodService("disk");
        }
    }

    @Test
    void theClientLeavesWithoutTakingItsAnswers() throws Exception {
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", CheckedDevice.of(ServerRig.written(64 << 20, 1 << 20), "disk"));
            for (int taken : new int[] {0, 1, 20, 28, 29, 4096, 1 << 20}) {
                try (RawClient client = rig.connect()) {
                    client.channel().setOption(StandardSocketOptions.SO_RCVBUF, 4096);
                    client.go("disk");
                    for (int i = 0; i < 8; i++) {
                        client.request(0, Nbd.CMD_READ, i, 0, 1 << 20);
                    }
                    client.receive(taken);
                }
            }
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        }
    }

    @Test
    void theClientLeavesWhileTheDeviceWorks() throws Exception {
        HeldDisk disk = new HeldDisk(new MemoryDisk(1 << 20));
        try (ServerRig rig = new ServerRig()) {
            rig.export("disk", disk);
            rig.onExportLoop(disk::hold);
            try (RawClient client = rig.connect()) {
                client.go("disk");
                for (int type : new int[] {Nbd.CMD_READ, Nbd.CMD_WRITE_ZEROES, Nbd.CMD_TRIM, Nbd.CMD_CACHE}) {
                    client.request(0, type, type, 0, 65536);
                }
                ServerRig.await("all in the device", () -> disk.held() == 4);
            }
            rig.onExportLoop(() -> {});
            assertThat(rig.server().connections()).as("its memory is in use").isEqualTo(1);
            rig.onExportLoop(disk::release);
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        }
    }
}
