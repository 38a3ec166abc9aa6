package dev.ferry.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.reactor.Linux;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(180)
class FileCopyTest {
    @TempDir
    Path folder;

    @Test
    void aSparseFileOfAnOddSizeIsCopiedWithItsHoles() throws Exception {
        Path source = folder.resolve("a");
        byte[] data = new byte[300_001];
        new Random(1).nextBytes(data);
        long sizeBytes = (70L << 20) + 777;
        try (RandomAccessFile file = new RandomAccessFile(source.toFile(), "rw")) {
            file.setLength(sizeBytes);
            for (long at : new long[] {0, (16L << 20) - 1000, 40L << 20, sizeBytes - data.length}) {
                file.seek(at);
                file.write(data);
            }
        }
        Path target = Files.createFile(folder.resolve("b"));
        AtomicLong most = new AtomicLong();
        FileCopy.run(source, target, true, done -> most.accumulateAndGet(done, Math::max));
        assertThat(Files.mismatch(source, target)).isEqualTo(-1);
        assertThat(most.get()).isEqualTo(sizeBytes);
        long allocated = allocatedBytes(target);
        assertThat(allocated).isLessThan(4L << 20);
    }

    @Test
    void acrossFileSystemsItGoesThroughABuffer() throws Exception {
        Path elsewhere = Path.of("/dev/shm");
        org.assertj.core.api.Assumptions.assumeThat(Files.isWritable(elsewhere)).isTrue();
        Path source = folder.resolve("a");
        byte[] data = new byte[5_000_000];
        new Random(2).nextBytes(data);
        Files.write(source, data);
        Path target = Files.createTempFile(elsewhere, "ferry", ".raw");
        try {
            FileCopy.run(source, target, false, done -> {});
            assertThat(Files.mismatch(source, target)).isEqualTo(-1);
        } finally {
            Files.delete(target);
        }
    }

    @Test
    void whatIsNotThereIsOneLine() {
        assertThatThrownBy(() -> FileCopy.run(folder.resolve("absent"), folder.resolve("b"), false, done -> {}))
                .isInstanceOf(BlockException.class)
                .hasMessageContaining("no such file");
    }

    private static long allocatedBytes(Path path) {
        int file = Linux.open(path.toString(), 0, 0);
        long bytes = Linux.facts(file).allocatedBytes();
        Linux.close(file);
        return bytes;
    }
}
