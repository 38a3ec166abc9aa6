package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.CheckedDevice;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A thousand connections, half of them idle or stuck in the handshake, beside one that works. */
@Timeout(180)
class CrowdTest {
    private static final int CROWD = 1000;
    private static final int REQUESTS = 2000;
    private static final int ROUNDS = 5;
    /** Beside the crowd, while the machine is at other things: what the crowd costs is in every round, and in the best of them too. */
    private static final int ROUNDS_MAX = 40;

    /**
     * What a crowd that says nothing may cost: the loop does not look at it. Far above what is seen, because the machine
     * may be at other things; each figure is the best of its rounds.
     */
    private static final double SLOWER_MAX = 3;

    private final List<RawClient> crowd = new ArrayList<>();

    @Test
    void aBusyClientIsServedAsIfItWereAlone() throws Exception {
        MemoryDisk disk = new MemoryDisk(1 << 20);
        byte[] content = new byte[1 << 20];
        new Random(1).nextBytes(content);
        disk.fill(0, content);
        ServerSettings settings = ServerSettings.DEFAULT.withHandshakeMax(Duration.ofMinutes(2));
        try (ServerRig rig = new ServerRig(settings);
                RawClient busy = rig.connect()) {
            rig.export("disk", CheckedDevice.of(disk, "disk"));
            busy.go("disk");
            double alone = bestOf(busy, content);
            for (int i = 0; i < CROWD; i++) {
                crowd.add(member(rig, i));
            }
            ServerRig.await("all are connected", () -> rig.server().connections() == CROWD + 1);
            double beside = bestOf(busy, content);
            for (int round = ROUNDS; round < ROUNDS_MAX && beside / alone >= SLOWER_MAX; round += ROUNDS) {
                beside = Math.min(beside, bestOf(busy, content));
            }
            assertThat(beside / alone).as("times slower beside the crowd").isLessThan(SLOWER_MAX);
            assertThat(rig.server().connections())
                    .as("and the crowd still stands")
                    .isEqualTo(CROWD + 1);
            for (RawClient member : crowd) {
                member.close();
            }
            ServerRig.await("the crowd has gone", () -> rig.server().connections() == 1);
            assertThat(busy.read(0, 4096)).isEqualTo(Arrays.copyOf(content, 4096));
            busy.disconnect();
        } finally {
            for (RawClient member : crowd) {
                member.close();
            }
        }
    }

    /** One in two is in transmission and has worked; the others say nothing, or stop in the middle of the handshake. */
    private static RawClient member(ServerRig rig, int number) throws IOException {
        RawClient client = rig.connect();
        switch (number % 8) {
            case 0 -> {}
            case 2 -> client.greet();
            case 4 -> client.greet().send(Bytes.empty().u64(Nbd.OPTION_MAGIC));
            case 6 ->
                client.greet()
                        .send(Bytes.empty()
                                .u64(Nbd.OPTION_MAGIC)
                                .u32(Nbd.OPT_GO)
                                .u32(60_000));
            default -> {
                client.go("disk");
                assertThat(client.read(0, 512)).hasSize(512);
            }
        }
        return client;
    }

    /** Nanoseconds for so many reads and writes, each checked; the best of some rounds. */
    private static double bestOf(RawClient client, byte[] content) throws IOException {
        double best = Double.MAX_VALUE;
        for (int round = 0; round < ROUNDS; round++) {
            long began = System.nanoTime();
            for (int i = 0; i < REQUESTS; i++) {
                int offset = i % 256 * 4096;
                byte[] expected = Arrays.copyOfRange(content, offset, offset + 4096);
                if (i % 8 == 0) {
                    assertThat(client.errorOf(0, Nbd.CMD_WRITE, offset, 4096, expected))
                            .isZero();
                } else if (!Arrays.equals(client.read(offset, 4096), expected)) {
                    throw new AssertionError("wrong bytes at " + offset);
                }
            }
            best = Math.min(best, (double) (System.nanoTime() - began));
        }
        return best;
    }

    @Test
    void anExportHasAsManyClientsAsItMayHave() throws Exception {
        try (ServerRig rig = new ServerRig(ServerSettings.DEFAULT.withClientsPerExportMax(2))) {
            rig.export("disk", new MemoryDisk(1 << 20)).export("other", new MemoryDisk(1 << 20));
            try (RawClient first = rig.connect().go("disk");
                    RawClient second = rig.connect().goSimple("disk");
                    RawClient third = rig.connect().greet()) {
                assertThat(third.askType(Bytes.empty().info(Nbd.OPT_INFO, "disk")))
                        .as("it may be asked about")
                        .isEqualTo(Nbd.REP_ACK);
                assertThat(third.askType(Bytes.empty().info(Nbd.OPT_GO, "disk")))
                        .isEqualTo(Nbd.REP_ERR_POLICY);
                second.disconnect();
                ServerRig.await("one has gone", () -> rig.server().connections("disk") == 1);
                assertThat(third.askType(Bytes.empty().info(Nbd.OPT_GO, "disk")))
                        .isEqualTo(Nbd.REP_ACK);
                try (RawClient fourth = rig.connect().greet()) {
                    fourth.send(Bytes.empty().option(Nbd.OPT_EXPORT_NAME, "disk".getBytes(StandardCharsets.UTF_8)));
                    fourth.expectEnd();
                }
                try (RawClient elsewhere = rig.connect().go("other")) {
                    assertThat(elsewhere.read(0, 512)).hasSize(512);
                }
                assertThat(first.read(0, 512)).hasSize(512);
            }
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        }
    }
}
