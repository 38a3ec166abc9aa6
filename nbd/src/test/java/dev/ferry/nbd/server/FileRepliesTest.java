package dev.ferry.nbd.server;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.FileRange;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.nbd.wire.RawClient;
import dev.ferry.testkit.Requires;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
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
    private ServerRig rig;
    private FileDevice file;

    @BeforeEach
    void open() throws Exception {
        new Random(1).nextBytes(content);
        Path path = folder.resolve("disk.raw");
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
