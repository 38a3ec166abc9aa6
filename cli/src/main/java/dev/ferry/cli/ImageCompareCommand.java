package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.image.ImageFormat;
import dev.ferry.server.DataPlane;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image compare}: whether two disks hold the same bytes. */
@Command(
        name = "compare",
        description = {
            "Tells whether two disks hold the same bytes, whatever their formats. Fails if they differ.",
            "Where one is longer, the rest of it has to be zeroes."
        })
final class ImageCompareCommand implements Callable<Integer> {
    private static final int PIECE_BYTES = 1 << 20;

    private final Screen screen;

    @Parameters(index = "0", paramLabel = "A", description = "An image.")
    private Path first = Path.of("");

    @Parameters(index = "1", paramLabel = "B", description = "Another.")
    private Path second = Path.of("");

    @Option(names = "--format", paramLabel = "F", description = "Of A: raw (default), qcow2, vmdk or vhd.")
    private @Nullable String firstFormat;

    @Option(names = "--format-b", paramLabel = "F", description = "Of B: raw (default), qcow2, vmdk or vhd.")
    private @Nullable String secondFormat;

    ImageCompareCommand(Screen screen) {
        this.screen = screen;
    }

    /** A disk that is read from its beginning to its end. */
    private static final class Side {
        private final Loop loop;
        private final BlockDevice device;
        private final long sizeBytes;
        private final IoBuffer buffer = IoBuffer.allocate(PIECE_BYTES);
        private long zeroTo;

        Side(DiskLoop loop, Path file, ImageFormat format) throws BlockException {
            this.loop = loop.loop();
            this.device = ImageCommands.open(loop, file, format);
            this.sizeBytes = device.geometry().sizeBytes();
        }

        /** How far it is known to be zeroes from there on. */
        long zeroesFrom(long offset) throws BlockException {
            if (offset >= sizeBytes) {
                return Long.MAX_VALUE;
            }
            if (zeroTo <= offset) {
                long[] end = {offset};
                boolean[] broken = new boolean[1];
                OnLoop.await(
                        loop,
                        done -> device.extents(
                                offset,
                                sizeBytes - offset,
                                (from, length, state) -> {
                                    broken[0] |= (state & ExtentSink.ZERO) == 0;
                                    end[0] = broken[0] ? end[0] : from + length;
                                },
                                done));
                zeroTo = end[0];
            }
            return zeroTo;
        }

        /** The bytes there; zeroes where the disk has ended. */
        MemorySegment bytes(long offset, int length) throws BlockException {
            int there = Math.clamp(sizeBytes - offset, 0, length);
            if (there > 0) {
                OnLoop.await(loop, done -> device.read(offset, buffer, 0, there, done));
            }
            buffer.zero(there, length - there);
            return buffer.segment().asSlice(0, length);
        }

        void close() throws BlockException {
            OnLoop.await(loop, device::close);
        }
    }

    @Override
    public Integer call() throws Exception {
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            Side a = new Side(loop, first, ImageCommands.chosen(loop, first, firstFormat, "--format"));
            Side b = new Side(loop, second, ImageCommands.chosen(loop, second, secondFormat, "--format-b"));
            long differs = firstDifference(a, b);
            a.close();
            b.close();
            if (differs >= 0) {
                screen.print("they differ, first at byte " + differs);
                return Ferry.FAILED;
            }
            screen.print(
                    a.sizeBytes == b.sizeBytes ? "they are equal" : "they are equal, but for zeroes at the end of one");
            return Ferry.DONE;
        }
    }

    private static long firstDifference(Side a, Side b) throws BlockException {
        long end = Math.max(a.sizeBytes, b.sizeBytes);
        for (long at = 0; at < end; ) {
            long zeroes = Math.min(end, Math.min(a.zeroesFrom(at), b.zeroesFrom(at)));
            if (zeroes > at) {
                at = zeroes;
                continue;
            }
            int length = (int) Math.min(PIECE_BYTES, end - at);
            long found = a.bytes(at, length).mismatch(b.bytes(at, length));
            if (found >= 0) {
                return at + found;
            }
            at += length;
        }
        return -1;
    }
}
