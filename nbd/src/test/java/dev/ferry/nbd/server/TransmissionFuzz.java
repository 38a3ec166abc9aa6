package dev.ferry.nbd.server;

import dev.ferry.block.CheckedDevice;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A whole server that takes what comes behind a good handshake: whatever it is, the next client is served. */
public final class TransmissionFuzz {
    private static @Nullable ServerRig rig;

    private TransmissionFuzz() {}

    private static ServerRig rig() throws Exception {
        ServerRig running = rig;
        if (running == null) {
            running = new ServerRig();
            running.export("disk", CheckedDevice.of(new MemoryDisk(1 << 20), "disk"));
            rig = running;
        }
        return running;
    }

    /** Stops the server that {@link #fuzzerTestOneInput} has started, once all of its clients have gone. */
    static void stop() throws Exception {
        ServerRig running = rig;
        if (running != null) {
            rig = null;
            running.awaitNoConnections();
            running.close();
        }
    }

    /** Called by the fuzzer. The first byte says what has been negotiated. */
    public static void fuzzerTestOneInput(byte[] data) throws Exception {
        if (data.length == 0) {
            return;
        }
        ServerRig running = rig();
        try (RawClient client = running.connect()) {
            switch (data[0] & 3) {
                case 0 -> client.goSimple("disk");
                case 1, 3 -> client.go("disk");
                default -> client.goExtended("disk", Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH);
            }
            try {
                client.send(Arrays.copyOfRange(data, 1, data.length));
                client.channel().shutdownOutput();
            } catch (IOException closedAlready) {
                return;
            }
            client.receiveToEnd();
        }
        running.expectGoodService("disk");
    }

    /** Conversations to begin with. */
    public static List<byte[]> corpus() {
        Bytes compact = Bytes.empty()
                .request(0, Nbd.CMD_WRITE, 1, 0, 96)
                .zeroes(96)
                .request(Nbd.CMD_FLAG_DF, Nbd.CMD_READ, 2, 4096, 8192)
                .request(Nbd.CMD_FLAG_REQ_ONE, Nbd.CMD_BLOCK_STATUS, 3, 0, 1 << 20)
                .request(Nbd.CMD_FLAG_FAST_ZERO, Nbd.CMD_WRITE_ZEROES, 4, 0, 8192)
                .request(0, Nbd.CMD_TRIM, 5, 960 << 10, 4096)
                .request(0, Nbd.CMD_CACHE, 6, 0, 65536)
                .request(0, Nbd.CMD_FLUSH, 7, 0, 0)
                .request(0, Nbd.CMD_DISC, 8, 0, 0);
        Bytes extended = Bytes.empty()
                .u8(2)
                .extendedRequest(Nbd.CMD_FLAG_PAYLOAD_LEN, Nbd.CMD_WRITE, 1, 0, 96)
                .zeroes(96)
                .extendedRequest(0, Nbd.CMD_READ, 2, 0, 4096)
                .extendedRequest(Nbd.CMD_FLAG_PAYLOAD_LEN, Nbd.CMD_BLOCK_STATUS, 3, 0, 12)
                .u64(1 << 20)
                .u32(2)
                .extendedRequest(Nbd.CMD_FLAG_PAYLOAD_LEN, Nbd.CMD_TRIM, 4, 0, 20)
                .zeroes(20)
                .extendedRequest(0, Nbd.CMD_WRITE_ZEROES, 5, 0, 1 << 20)
                .extendedRequest(0, Nbd.CMD_DISC, 6, 0, 0);
        return List.of(
                Bytes.empty().u8(0).raw(compact.done()).done(),
                Bytes.empty().u8(1).raw(compact.done()).done(),
                extended.done());
    }
}
