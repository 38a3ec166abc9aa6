package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.nbd.wire.Bytes;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.Seeds;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Clients that mean ill, or are broken: what they do costs them their connection, and nobody else anything. */
@Timeout(180)
class HostileClientTest {
    /** How long nonsense is talked; a long run is {@code -Dferry.fuzz.seconds=3600}. */
    private static final long NONSENSE_NANOS = TimeUnit.SECONDS.toNanos(Long.getLong("ferry.fuzz.seconds", 2));

    @Test
    void clientsStuckInTheHandshakeAreDroppedAndHarmNobody() throws Exception {
        ServerSettings settings = ServerSettings.DEFAULT.withHandshakeMax(Duration.ofSeconds(2));
        List<RawClient> stuck = new ArrayList<>();
        try (ServerRig rig = new ServerRig(settings)) {
            rig.export("disk", new MemoryDisk(1 << 20));
            try (RawClient good = rig.connect()) {
                good.go("disk");
                for (int i = 0; i < 200; i++) {
                    RawClient client = rig.connect();
                    stuck.add(client);
                    switch (i % 4) {
                        case 1 -> client.greet();
                        case 2 -> client.greet().send(Bytes.empty().u64(Nbd.OPTION_MAGIC));
                        case 3 ->
                            client.greet()
                                    .send(Bytes.empty()
                                            .u64(Nbd.OPTION_MAGIC)
                                            .u32(7)
                                            .u32(60_000));
                        default -> {}
                    }
                }
                int served = 0;
                while (rig.server().connections() > 1) {
                    assertThat(good.read(0, 4096)).hasSize(4096);
                    served++;
                }
                assertThat(served).isPositive();
                for (RawClient client : stuck) {
                    client.receiveToEnd();
                }
                assertThat(good.errorOf(0, Nbd.CMD_FLUSH, 0, 0)).isZero();
            }
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        } finally {
            for (RawClient client : stuck) {
                client.close();
            }
        }
    }

    @Test
    void oneConnectionTooManyIsClosedAtOnce() throws Exception {
        try (ServerRig rig = new ServerRig(ServerSettings.DEFAULT.withConnectionsMax(2))) {
            rig.export("disk", new MemoryDisk(1 << 20));
            try (RawClient first = rig.connect();
                    RawClient second = rig.connect()) {
                first.go("disk");
                second.greet();
                try (RawClient third = rig.connect()) {
                    third.expectEnd();
                }
                assertThat(first.errorOf(0, Nbd.CMD_FLUSH, 0, 0)).isZero();
            }
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        }
    }

    /** Sends until the server takes no more for a while; gives the bytes that it took. */
    private static long sendUntilStuck(RawClient client, byte[] unit, long bytesMax) throws Exception {
        client.channel().configureBlocking(false);
        long sent = 0;
        ByteBuffer buffer = ByteBuffer.wrap(unit);
        for (int idle = 0; idle < 100 && sent < bytesMax; ) {
            int taken = client.channel().write(buffer);
            sent += taken;
            if (taken == 0) {
                idle++;
                TimeUnit.MILLISECONDS.sleep(3);
            } else {
                idle = 0;
            }
            if (!buffer.hasRemaining()) {
                buffer.clear();
            }
        }
        client.channel().configureBlocking(true);
        return sent;
    }

    @Test
    void aClientThatNeverReadsIsNotListenedToAndItsMemoryIsBounded() throws Exception {
        int bound = 4 << 20;
        int readBytes = 600_000;
        HeldDisk disk = new HeldDisk(ServerRig.written(1 << 20, 1 << 20));
        try (ServerRig rig = new ServerRig(ServerSettings.DEFAULT.withBytesInFlightMax(bound))) {
            rig.export("disk", disk);
            try (RawClient deaf = rig.connect();
                    RawClient good = rig.connect()) {
                deaf.go("disk");
                good.go("disk");
                byte[] read =
                        Bytes.empty().request(0, Nbd.CMD_READ, 1, 0, readBytes).done();
                long sent = sendUntilStuck(deaf, read, 64 << 20);
                assertThat(sent).as("the server stops listening").isLessThan(8 << 20);
                assertThat(good.read(0, 4096)).hasSize(4096);
                long socketBytes = 1 << 20;
                assertThat(disk.reads() * (long) readBytes)
                        .as("bytes that were read for a client that takes none")
                        .isLessThanOrEqualTo(bound + socketBytes + readBytes);
            }
            rig.awaitNoConnections();
            rig.expectGoodService("disk");
        }
    }

    @Test
    void aClientIsChargedForTheBuffersThatItsRequestsTake() throws Exception {
        int bound = 4 << 20;
        int readBytes = (128 << 10) + 4096;
        HeldDisk disk = new HeldDisk(new MemoryDisk(1 << 20));
        try (ServerRig rig = new ServerRig(ServerSettings.DEFAULT.withBytesInFlightMax(bound))) {
            IoBuffer sample = Objects.requireNonNull(rig.buffers().take(readBytes));
            int takenBytes = sample.capacity();
            sample.release();
            assertThat(takenBytes)
                    .as("buffers are larger than what is asked for")
                    .isGreaterThan(readBytes * 3 / 2);
            rig.export("disk", disk);
            rig.onExportLoop(disk::hold);
            try (RawClient client = rig.connect()) {
                client.go("disk");
                Bytes all = Bytes.empty();
                int requests = bound / readBytes;
                for (int i = 0; i < requests; i++) {
                    all.request(0, Nbd.CMD_READ, i, 0, readBytes);
                }
                client.send(all);
                ServerRig.await("as many as it may have", () -> disk.held() >= bound / takenBytes);
                rig.onExportLoop(() -> {});
                assertThat(disk.held()).isEqualTo(bound / takenBytes);
                rig.onExportLoop(disk::release);
                for (int i = 0; i < requests; i++) {
                    assertThat(client.reply().error()).isZero();
                }
                client.disconnect();
            }
            rig.awaitNoConnections();
        }
    }

    @Test
    void aClientThatAsksOptionsAndNeverReadsIsNotListenedTo() throws Exception {
        ServerSettings settings = ServerSettings.DEFAULT.withHandshakeMax(Duration.ofSeconds(2));
        try (ServerRig rig = new ServerRig(settings)) {
            rig.export("disk", new MemoryDisk(1 << 20));
            try (RawClient deaf = rig.connect()) {
                deaf.greet();
                long sent =
                        sendUntilStuck(deaf, Bytes.empty().option(Nbd.OPT_LIST).done(), 64 << 20);
                assertThat(sent).isLessThan(8 << 20);
                rig.expectGoodService("disk");
                rig.awaitNoConnections();
            }
        }
    }

    @Test
    @Timeout(value = 1, unit = TimeUnit.DAYS)
    void nonsenseCostsNoMoreThanItsConnection() throws Exception {
        Seeds.run(seed -> {
            Random random = new Random(seed);
            ServerSettings settings = ServerSettings.DEFAULT.withHandshakeMax(Duration.ofSeconds(5));
            try (ServerRig rig = new ServerRig(settings)) {
                rig.export("disk", CheckedDevice.of(new MemoryDisk(1 << 20), "disk"));
                try (RawClient good = rig.connect()) {
                    good.go("disk");
                    long end = System.nanoTime() + NONSENSE_NANOS;
                    while (System.nanoTime() - end < 0) {
                        say(rig, nonsense(random));
                        assertThat(good.read(0, 512)).hasSize(512);
                    }
                }
                rig.awaitNoConnections();
                rig.expectGoodService("disk");
            }
        });
    }

    @Test
    @Timeout(value = 1, unit = TimeUnit.DAYS)
    void goodConversationsWithErrorsCostNoMoreThanTheirConnection() throws Exception {
        Seeds.run(seed -> {
            Random random = new Random(seed);
            ServerSettings settings = ServerSettings.DEFAULT.withHandshakeMax(Duration.ofSeconds(5));
            try (ServerRig rig = new ServerRig(settings)) {
                rig.export("disk", CheckedDevice.of(new MemoryDisk(1 << 20), "disk"));
                try (RawClient good = rig.connect()) {
                    good.go("disk");
                    long end = System.nanoTime() + NONSENSE_NANOS;
                    while (System.nanoTime() - end < 0) {
                        say(rig, mutated(random, conversation(random)));
                        assertThat(good.errorOf(0, Nbd.CMD_FLUSH, 0, 0)).isZero();
                    }
                }
                rig.awaitNoConnections();
                rig.expectGoodService("disk");
            }
        });
    }

    /** Says it, takes whatever comes, and leaves. */
    private static void say(ServerRig rig, byte[] words) throws IOException {
        try (RawClient client = rig.connect()) {
            try {
                client.send(words);
                client.channel().shutdownOutput();
            } catch (IOException closedAlready) {
                return;
            }
            client.receiveToEnd();
        }
    }

    private static byte[] nonsense(Random random) {
        byte[] noise = new byte[random.nextInt(300)];
        random.nextBytes(noise);
        Bytes words = Bytes.empty();
        if (random.nextBoolean()) {
            words.u32(Nbd.FLAG_FIXED_NEWSTYLE);
        }
        if (random.nextBoolean()) {
            words.info(Nbd.OPT_GO, "disk");
        }
        if (random.nextBoolean()) {
            words.u32(Nbd.REQUEST_MAGIC);
        }
        return words.raw(noise).done();
    }

    private static byte[] conversation(Random random) {
        return random.nextBoolean() ? compact(random) : extended(random);
    }

    private static byte[] extended(Random random) {
        Bytes words = Bytes.empty()
                .u32(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)
                .option(Nbd.OPT_EXTENDED_HEADERS)
                .contexts(Nbd.OPT_LIST_META_CONTEXT, "disk", "qemu:")
                .contexts(Nbd.OPT_SET_META_CONTEXT, "disk", Nbd.BASE_ALLOCATION, Nbd.ALLOCATION_DEPTH)
                .info(Nbd.OPT_GO, "disk", Nbd.INFO_NAME, Nbd.INFO_BLOCK_SIZE);
        for (int i = 0; i < 10; i++) {
            int type = random.nextInt(9);
            int length = random.nextInt(20_000);
            boolean chooses = type == Nbd.CMD_BLOCK_STATUS && random.nextBoolean();
            boolean carries = chooses || type == Nbd.CMD_WRITE || random.nextInt(8) == 0;
            int flags = (random.nextInt(4) == 0 ? random.nextInt(32) : 0) | (carries ? Nbd.CMD_FLAG_PAYLOAD_LEN : 0);
            long announced = chooses ? 12 : carries || random.nextInt(4) > 0 ? length : random.nextLong();
            words.extendedRequest(flags, type, i, random.nextInt(1 << 20), announced);
            if (chooses) {
                words.u64(length).u32(random.nextInt(3));
            } else if (carries) {
                words.zeroes(length);
            }
        }
        return words.done();
    }

    private static byte[] compact(Random random) {
        Bytes words = Bytes.empty()
                .u32(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)
                .option(Nbd.OPT_STRUCTURED_REPLY)
                .contexts(Nbd.OPT_SET_META_CONTEXT, "disk", Nbd.BASE_ALLOCATION)
                .info(Nbd.OPT_GO, "disk", Nbd.INFO_NAME, Nbd.INFO_BLOCK_SIZE);
        for (int i = 0; i < 10; i++) {
            int type = random.nextInt(9);
            int length = random.nextInt(20_000);
            words.request(random.nextInt(4) == 0 ? random.nextInt(32) : 0, type, i, random.nextInt(1 << 20), length);
            words.zeroes(type == Nbd.CMD_WRITE ? length : 0);
        }
        return words.done();
    }

    /** Some bytes changed, some left out, some put in. */
    private static byte[] mutated(Random random, byte[] words) {
        byte[] changed = words.clone();
        int reach = random.nextBoolean() ? Math.min(200, words.length) : words.length;
        for (int i = 1 + random.nextInt(4); i > 0; i--) {
            changed[random.nextInt(reach)] = (byte) random.nextInt();
        }
        int cut = random.nextInt(changed.length);
        return switch (random.nextInt(4)) {
            case 0 -> Arrays.copyOf(changed, cut);
            case 1 ->
                Bytes.empty()
                        .raw(Arrays.copyOf(changed, cut))
                        .u32(random.nextInt())
                        .raw(Arrays.copyOfRange(changed, cut, changed.length))
                        .done();
            default -> changed;
        };
    }
}
