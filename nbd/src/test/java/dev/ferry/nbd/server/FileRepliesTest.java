package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.FileRange;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.testkit.Requires;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Large reads go from the page cache to the socket, and are right even if the disk moves in the middle of one. */
@Timeout(180)
class FileRepliesTest {
    private static final int SIZE_BYTES = 8 << 20;
    private static final int READ_BYTES = 1 << 20;
    private static final int ALWAYS = Integer.MAX_VALUE;

    @TempDir
    Path folder;

    private final byte[] content = new byte[SIZE_BYTES];
    private Path path;
    private ServerRig rig;
    private FileDevice file;

    @BeforeEach
    void open() throws Exception {
        new Random(1).nextBytes(content);
        path = folder.resolve("disk.raw");
        Files.write(path, content);
        rig = new ServerRig();
        file = FileDevice.open(rig.exportLoop(), path, FileOptions.CACHED);
        AtomicBoolean located = new AtomicBoolean();
        rig.onExportLoop(() -> located.set(file.locate(0, READ_BYTES, new FileRange())));
        Requires.that(located.get(), "a kernel that tells which pages of a file are in memory");
    }

    @AfterEach
    void close() throws Exception {
        rig.onExportLoop(() -> file.close(error -> {}));
        rig.close();
    }

    private WanderingDisk export(int locates, boolean failsReads) throws Exception {
        WanderingDisk disk = new WanderingDisk(file, locates, failsReads);
        rig.export("disk", disk);
        return disk;
    }

    /** Asks for everything at once, and only then begins to listen, so that the socket is full in between. */
    private void readAll(RawClient client, boolean structured) throws Exception {
        int reads = SIZE_BYTES / READ_BYTES;
        for (int i = 0; i < reads; i++) {
            client.request(0, Nbd.CMD_READ, i, (long) i * READ_BYTES, READ_BYTES);
            client.request(0, Nbd.CMD_FLUSH, 100 + i, 0, 0);
        }
        boolean[] seen = new boolean[200];
        for (int i = 0; i < 2 * reads; i++) {
            // Without structured replies only the cookie tells which of them carries data.
            RawClient.Reply reply = structured ? client.reply() : simple(client);
            assertThat(reply.error()).isZero();
            int cookie = (int) reply.cookie();
            assertThat(seen[cookie]).as("reply to %d came already", cookie).isFalse();
            seen[cookie] = true;
            if (cookie < 100) {
                int skip = structured ? 8 : 0;
                byte[] data = Arrays.copyOfRange(reply.payload(), skip, reply.payload().length);
                byte[] expected = Arrays.copyOfRange(content, cookie * READ_BYTES, (cookie + 1) * READ_BYTES);
                assertThat(Arrays.equals(data, expected))
                        .as("data of read %d", cookie)
                        .isTrue();
            }
        }
    }

    private static RawClient.Reply simple(RawClient client) throws Exception {
        RawClient.Reply reply = client.reply(0);
        return reply.cookie() < 100
                ? new RawClient.Reply(-1, 0, reply.error(), reply.cookie(), 0, client.receive(READ_BYTES))
                : reply;
    }

    private void go(RawClient client, boolean structured) throws Exception {
        if (structured) {
            client.go("disk");
        } else {
            client.goSimple("disk");
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void largeReadsAreNotReadButSent(boolean structured) throws Exception {
        WanderingDisk disk = export(ALWAYS, true);
        try (RawClient client = rig.connect()) {
            go(client, structured);
            readAll(client, structured);
            client.disconnect();
        }
        AtomicLong located = new AtomicLong();
        rig.onExportLoop(() -> located.set(disk.locatedBytes()));
        assertThat(located.get()).isEqualTo(SIZE_BYTES);
    }

    /** Written zeroes and a hole; in the page cache both are pages like others. */
    private void zero(int from, int to, boolean punched) throws Exception {
        Arrays.fill(content, from, to, (byte) 0);
        try (RandomAccessFile written = new RandomAccessFile(path.toFile(), "rw")) {
            written.seek(from);
            written.write(content, from, to - from);
        }
        if (punched) {
            String fallocate = Requires.program("fallocate").toString();
            int failed = new ProcessBuilder(fallocate, "-p", "-o", "" + from, "-l", "" + (to - from), path.toString())
                    .start()
                    .waitFor();
            Requires.that(failed == 0, "a file system with holes");
            assertThat(Files.readAllBytes(path)).as("read, and in memory again").isEqualTo(content);
        }
    }

    /** What a read of it all brings: its chunks as TYPE+KIBIBYTES; and it is checked that they make the content. */
    private List<String> chunks(RawClient client, int flags, int offset, int length) throws Exception {
        client.request(flags, Nbd.CMD_READ, 5, offset, length);
        byte[] bytes = new byte[length];
        Arrays.fill(bytes, (byte) 0x55);
        List<String> chunks = new ArrayList<>();
        RawClient.Reply reply;
        do {
            reply = client.reply();
            assertThat(reply.error()).isZero();
            boolean hole = reply.type() == Nbd.CHUNK_OFFSET_HOLE;
            int at = (int) (reply.buffer().getLong() - offset);
            int bytesIn = hole ? reply.buffer().getInt(8) : reply.payload().length - 8;
            System.arraycopy(hole ? new byte[bytesIn] : reply.payload(), hole ? 0 : 8, bytes, at, bytesIn);
            chunks.add((hole ? "hole+" : "data+") + (bytesIn >> 10));
        } while (!reply.last());
        assertThat(Arrays.equals(bytes, Arrays.copyOfRange(content, offset, offset + length)))
                .as("what the chunks make")
                .isTrue();
        return chunks;
    }

    @ParameterizedTest
    @CsvSource({"false, false", "false, true", "true, false", "true, true"})
    void zeroesOfALargeReadAreDescribed(boolean punched, boolean extended) throws Exception {
        zero(1 << 20, (1 << 20) + (192 << 10), punched);
        zero(4 << 20, 6 << 20, punched);
        WanderingDisk disk = export(ALWAYS, false);
        try (RawClient client = rig.connect()) {
            if (extended) {
                client.goExtended("disk");
            } else {
                client.go("disk");
            }
            assertThat(chunks(client, 0, 0, 1 << 20)).containsExactly("data+1024");
            assertThat(chunks(client, 0, (1 << 20) - (128 << 10), 512 << 10))
                    .containsExactly("data+128", "hole+192", "data+192");
            assertThat(chunks(client, 0, 4 << 20, 1 << 20)).containsExactly("hole+1024");
            assertThat(chunks(client, 0, 5 << 20, 2 << 20)).containsExactly("hole+1024", "data+1024");
            assertThat(chunks(client, Nbd.CMD_FLAG_DF, 5 << 20, 2 << 20)).containsExactly("data+2048");
            client.disconnect();
        }
        AtomicLong located = new AtomicLong();
        rig.onExportLoop(() -> located.set(disk.locatedBytes()));
        assertThat(located.get()).as("what has no zeroes is sent by the kernel").isEqualTo(1 << 20);
    }

    @Test
    void withSimpleRepliesZeroesAreSentByTheKernelToo() throws Exception {
        zero(0, SIZE_BYTES, false);
        WanderingDisk disk = export(ALWAYS, true);
        try (RawClient client = rig.connect()) {
            go(client, false);
            readAll(client, false);
            client.disconnect();
        }
        AtomicLong located = new AtomicLong();
        rig.onExportLoop(() -> located.set(disk.locatedBytes()));
        assertThat(located.get()).isEqualTo(SIZE_BYTES);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 16, 20, 25, 30})
    void aDiskThatMovesInTheMiddleIsReadOn(int locates) throws Exception {
        for (boolean structured : new boolean[] {true, false}) {
            WanderingDisk disk = export(locates, false);
            try (RawClient client = rig.connect()) {
                go(client, structured);
                readAll(client, structured);
                client.disconnect();
            }
            AtomicLong reads = new AtomicLong();
            rig.onExportLoop(() -> reads.set(disk.reads()));
            assertThat(reads.get()).isGreaterThanOrEqualTo(locates < SIZE_BYTES / READ_BYTES ? 1 : 0);
            rig.server().remove("disk", () -> {});
        }
    }

    @Test
    void anErrorBehindTheHeaderEndsTheConnectionAndNothingElse() throws Exception {
        // Found when it is asked for, again before the header leaves and behind it, and then nowhere any more.
        // No socket holds as much as this one read.
        WanderingDisk disk = export(3, true);
        try (RawClient client = rig.connect()) {
            client.go("disk");
            client.request(0, Nbd.CMD_READ, 1, 0, SIZE_BYTES);
            // The disk is asked to read when the socket has room again, and then the server ends the connection.
            assertThat(client.receiveToEnd().length).isLessThan(SIZE_BYTES);
            AtomicLong reads = new AtomicLong();
            rig.onExportLoop(() -> reads.set(disk.reads()));
            assertThat(reads.get()).isPositive();
        }
        rig.awaitNoConnections();
        rig.onExportLoop(disk::recover);
        rig.expectGoodService("disk");
    }

    @Test
    void aClientThatLeavesInTheMiddleLeavesNothingBehind() throws Exception {
        export(ALWAYS, false);
        for (int i = 0; i < 20; i++) {
            try (RawClient client = rig.connect()) {
                client.go("disk");
                for (int k = 0; k < SIZE_BYTES / READ_BYTES; k++) {
                    client.request(0, Nbd.CMD_READ, k, (long) k * READ_BYTES, READ_BYTES);
                }
                client.receive(1 + i * 100_000);
            }
        }
        rig.awaitNoConnections();
        rig.expectGoodService("disk");
    }
}
