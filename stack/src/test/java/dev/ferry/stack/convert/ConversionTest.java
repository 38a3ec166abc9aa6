package dev.ferry.stack.convert;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ForwardingDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.ImageWriter;
import dev.ferry.image.Provisioning;
import dev.ferry.image.RawWriter;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Writer;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.Seeds;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Conversions on several loops, of a source whose reads end whenever they like. */
@Timeout(60)
class ConversionTest {
    private static final int SIZE = (24 << 20) + 700;

    private static EventLoops loops;

    @TempDir
    Path directory;

    @BeforeAll
    static void start() {
        loops = EventLoops.start(3, EventLoops.Kind.AUTO);
    }

    @AfterAll
    static void end() {
        loops.close();
    }

    private static List<DiskLoop> loops(int count) {
        return loops.all().stream()
                .limit(count)
                .map(events -> new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(1 << 20)))
                .toList();
    }

    private static byte[] content(SplittableRandom random) {
        byte[] content = new byte[SIZE];
        for (int at = 0; at < SIZE; ) {
            int end = Math.min(SIZE, at + 1 + random.nextInt(900_000));
            int kind = random.nextInt(3);
            for (; at < end; at++) {
                content[at] = (byte) (kind == 0 ? 0 : kind == 1 ? at % 251 : random.nextInt());
            }
        }
        return content;
    }

    /** A disk with that content, some of whose zeroes are no holes; half of its reads end later. */
    private static final class Late extends ForwardingDevice {
        private final DiskLoop loop;
        private final SplittableRandom random;
        private final long brokenAt;

        Late(byte[] content, DiskLoop loop, long seed, long brokenAt) {
            super(CheckedDevice.of(filled(content), "source"));
            this.loop = loop;
            this.random = new SplittableRandom(seed);
            this.brokenAt = brokenAt;
        }

        private static MemoryDisk filled(byte[] content) {
            MemoryDisk disk = new MemoryDisk(content.length);
            int piece = 100_000;
            for (int at = 0; at < content.length; at += piece) {
                byte[] bytes = Arrays.copyOfRange(content, at, Math.min(content.length, at + piece));
                if (at / piece % 2 == 0 || !Arrays.equals(bytes, new byte[bytes.length])) {
                    disk.fill(at, bytes);
                }
            }
            return disk;
        }

        @Override
        public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            if (offset <= brokenAt && brokenAt < offset + length) {
                completion.complete(BlockError.of(ErrorKind.IO, "source", "read", offset, length, "broken"));
            } else if (random.nextBoolean()) {
                super.read(offset, buffer, at, length, completion);
            } else {
                loop.loop()
                        .schedule(random.nextInt(2_000_000), () -> super.read(offset, buffer, at, length, completion));
            }
        }
    }

    private Path convert(byte[] content, int count, long seed, long brokenAt, Conversion.Format format)
            throws Exception {
        Path target = Files.createTempFile(directory, "target", "");
        DiskSpec spec = new DiskSpec("target", target, Provisioning.THIN, false, false, ImageFormat.RAW);
        Conversion.run(loops(count), loop -> new Late(content, loop, seed, brokenAt), spec, format);
        return target;
    }

    @Test
    void aRawDiskIsAsLongAsItsSourceAndHoldsTheSame() {
        Seeds.run(seed -> {
            byte[] content = content(new SplittableRandom(seed));
            Path raw = convert(content, 3, seed, -1, RawWriter::new);
            assertThat(Arrays.mismatch(Files.readAllBytes(raw), content)).isEqualTo(-1);
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "zstd"})
    void aDiskMakesTheSameFileOnAnyNumberOfLoops(String how) {
        Seeds.run(seed -> {
            byte[] content = content(new SplittableRandom(seed));
            Qcow2Options options = how.equals("zstd") ? Qcow2Options.DEFAULT.withZstd() : Qcow2Options.DEFAULT;
            Conversion.Format format = (file, bytes) ->
                    new Qcow2Writer(file, ImageFormat.QCOW2.paddedBytes(bytes), options, !how.equals("plain"));
            Path one = convert(content, 1, seed, -1, format);
            Path three = convert(content, 3, seed + 1, -1, format);
            assertThat(Files.mismatch(one, three)).isEqualTo(-1);
        });
    }

    @Test
    void aSourceThatCannotBeReadEndsIt() {
        Seeds.run(seed -> {
            byte[] content = content(new SplittableRandom(seed));
            content[SIZE / 2] = 1;
            assertThatThrownBy(() -> convert(content, 3, seed, SIZE / 2, RawWriter::new))
                    .isInstanceOf(BlockException.class)
                    .hasMessageContaining("broken");
        });
    }

    @Test
    void soDoesAFormatThatHasNoRoomLeft() {
        Seeds.run(seed -> {
            byte[] content = content(new SplittableRandom(seed));
            content[SIZE - 1] = 1;
            assertThatThrownBy(() -> convert(content, 3, seed, -1, Full::new))
                    .isInstanceOf(BlockException.class)
                    .hasMessageContaining("full");
        });
    }

    /** Has no place for the last cluster. */
    private record Full(ImageWriter next, long most) implements ImageWriter {
        Full(FileBytes file, long sizeBytes) throws BlockException {
            this(new RawWriter(file, sizeBytes), sizeBytes);
        }

        @Override
        public int clusterBytes() {
            return next.clusterBytes();
        }

        @Override
        public int packedBytesMax() {
            return next.packedBytesMax();
        }

        @Override
        public @Nullable ClusterPacker packer() {
            return null;
        }

        @Override
        public void zeroes(long count) throws BlockException {
            next.zeroes(count);
        }

        @Override
        public long place(int length) throws BlockException {
            long at = next.place(length);
            if (at + length >= most) {
                throw BlockError.of(ErrorKind.NO_SPACE, "target", "place", "full")
                        .toException();
            }
            return at;
        }

        @Override
        public void finish() throws BlockException {
            next.finish();
        }
    }
}
