package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.CheckedDevice;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.nbd.wire.RawClient.Reply;
import dev.ferry.testkit.MemoryDisk;
import java.io.IOException;
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

/** Zeroes are described and not sent, and what a client puts together is what is on the disk. */
@Timeout(180)
class SparseReadTest {
    private static final int GRAIN = 16 << 10;
    private static final int DISK_BYTES = 4 << 20;

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

    /** A read as it came: its chunks, and the bytes that they make. */
    @SuppressWarnings("ArrayRecordComponent") // never compared
    private record Answer(List<Integer> types, byte[] bytes, long received) {}

    private Answer read(int flags, int offset, int length) throws IOException {
        client.request(flags, Nbd.CMD_READ, 9, offset, length);
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 0x55);
        List<Integer> types = new ArrayList<>();
        long received = 0;
        int described = 0;
        while (true) {
            Reply reply = client.reply();
            types.add(reply.type());
            received += reply.payload().length;
            int at = (int) (reply.buffer().getLong() - offset);
            if (reply.type() == Nbd.CHUNK_OFFSET_HOLE) {
                int hole = reply.buffer().getInt(8);
                Arrays.fill(bytes, at, at + hole, (byte) 0);
                described += hole;
            } else {
                assertThat(reply.type()).isEqualTo(Nbd.CHUNK_OFFSET_DATA);
                System.arraycopy(reply.payload(), 8, bytes, at, reply.payload().length - 8);
                described += reply.payload().length - 8;
            }
            if (reply.last()) {
                assertThat(described).isEqualTo(length);
                return new Answer(types, bytes, received);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {4096, GRAIN, GRAIN + 512, 1 << 20})
    void whatIsAllZeroIsOneHole(int length) throws Exception {
        client.go("disk");
        Answer answer = read(0, 512, length);
        assertThat(answer.types).containsExactly(Nbd.CHUNK_OFFSET_HOLE);
        assertThat(answer.bytes).containsOnly(0);
        assertThat(answer.received).isEqualTo(12);
    }

    @Test
    void aByteThatIsNotZeroIsNotInAHole() throws Exception {
        client.go("disk");
        for (int at : new int[] {0, 1, 4095, 4096, GRAIN - 1, GRAIN, 3 * GRAIN + 77, 8 * GRAIN - 1}) {
            disk.fill(at, new byte[] {1});
            Answer answer = read(0, 0, 8 * GRAIN);
            assertThat(answer.bytes).isEqualTo(disk.bytes(0, 8 * GRAIN));
            disk.fill(at, new byte[] {0});
        }
    }

    @Test
    void withoutFragmentsThereIsOneChunk() throws Exception {
        client.go("disk");
        disk.fill(5 * GRAIN, new byte[] {1});
        assertThat(read(Nbd.CMD_FLAG_DF, 0, 8 * GRAIN).types).containsExactly(Nbd.CHUNK_OFFSET_DATA);
        assertThat(read(0, 0, 8 * GRAIN).types)
                .containsExactly(Nbd.CHUNK_OFFSET_HOLE, Nbd.CHUNK_OFFSET_DATA, Nbd.CHUNK_OFFSET_HOLE);
    }

    @Test
    void simpleRepliesHaveNoHoles() throws Exception {
        client.goSimple("disk").request(0, Nbd.CMD_READ, 9, 0, 1 << 20);
        assertThat(client.reply(1 << 20).payload()).hasSize(1 << 20).containsOnly(0);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void whatIsPutTogetherIsWhatIsThere(boolean extended) throws Exception {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        if (extended) {
            client.goExtended("disk");
        } else {
            client.go("disk");
        }
        for (int round = 0; round < 200; round++) {
            byte[] bytes = new byte[1 + random.nextInt(3 * GRAIN)];
            if (random.nextBoolean()) {
                random.nextBytes(bytes);
            }
            disk.fill(random.nextInt(DISK_BYTES - bytes.length), bytes);
            int offset = random.nextInt(DISK_BYTES);
            int length = 1 + random.nextInt(Math.min(DISK_BYTES - offset, 1 << 20));
            assertThat(read(0, offset, length).bytes)
                    .as("seed %d round %d", seed, round)
                    .isEqualTo(disk.bytes(offset, length));
        }
    }
}
