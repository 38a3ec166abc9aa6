package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.OnLoop;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A file that is zeroes here and data there, in the page cache: what our client reads of it is what is in it. */
@Timeout(120)
class SparseFileTest {
    private static final int SIZE_BYTES = 8 << 20;
    private static final int READS = 100;

    @TempDir
    Path folder;

    @ParameterizedTest
    @EnumSource(
            value = EventLoops.Kind.class,
            names = {"IO_URING", "EPOLL"})
    void largeReadsAreWhatIsInTheFile(EventLoops.Kind kind) throws Exception {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        byte[] content = new byte[SIZE_BYTES];
        random.nextBytes(content);
        for (int at = 0; at < SIZE_BYTES; ) {
            int run = Math.min(SIZE_BYTES - at, 1 + random.nextInt(300 << 10));
            if (random.nextInt(3) == 0) {
                Arrays.fill(content, at, at + run, (byte) 0);
            }
            at += run;
        }
        Path file = Files.write(folder.resolve("disk.raw"), content);
        try (Served served = new Served(kind)) {
            served.serve("disk", FileDevice.open(served.loop, file, FileOptions.CACHED));
            for (NbdUri uri : List.of(served.unix("disk"), served.tcp("disk"))) {
                NbdClientDevice device = NbdClientDevice.open(served.clientLoop, uri, ClientSettings.DEFAULT);
                IoBuffer buffer = IoBuffer.allocate(1 << 20);
                for (int i = 0; i < READS; i++) {
                    int length = (128 << 10) + random.nextInt(buffer.capacity() - (128 << 10));
                    int offset = random.nextInt(SIZE_BYTES - length);
                    buffer.segment().fill((byte) 0x55);
                    assertThat(OnLoop.await(served.clients(), end -> device.read(offset, buffer, 0, length, end)))
                            .isNull();
                    byte[] seen = new byte[length];
                    buffer.copyTo(0, seen, 0, length);
                    assertThat(Arrays.equals(seen, Arrays.copyOfRange(content, offset, offset + length)))
                            .as("seed %d: %d bytes at %d", seed, length, offset)
                            .isTrue();
                }
                assertThat(OnLoop.await(served.clients(), device::close)).isNull();
            }
        }
    }
}
