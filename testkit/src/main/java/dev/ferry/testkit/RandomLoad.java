package dev.ferry.testkit;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/** Requests from a seed, many in flight, none that overlap in one batch, compared with an array of bytes. */
public final class RandomLoad {
    private static final int BATCH_MAX = 12;
    private static final int LENGTH_MAX = 200_000;

    private final Loop loop;
    private final BlockDevice device;
    private final SplittableRandom random;
    private final byte[] model;
    private final int block;
    private final List<Runnable> checks = new ArrayList<>();

    /** @param device one that reads as zeroes so far, behind the checked boundary */
    public RandomLoad(Loop loop, BlockDevice device, long seed) {
        this(loop, device, seed, new byte[Math.toIntExact(device.geometry().sizeBytes())]);
    }

    /** @param content what the device reads as so far; kept up to date */
    public RandomLoad(Loop loop, BlockDevice device, long seed, byte[] content) {
        this.loop = loop;
        this.device = device;
        this.random = new SplittableRandom(seed);
        this.model = content;
        this.block = device.geometry().blockSizeBytes();
    }

    /** Runs at least so many requests; an assertion fails where the device and the model differ. */
    public void run(int requests) {
        for (int done = 0; done < requests; ) {
            done += batch();
        }
        IoBuffer whole = IoBuffer.allocate(model.length);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, model.length, end)))
                .isNull();
        byte[] bytes = new byte[model.length];
        whole.copyTo(0, bytes, 0, bytes.length);
        assertThat(Arrays.mismatch(bytes, model)).as("first byte that differs").isEqualTo(-1);
    }

    private int batch() {
        List<int[]> ranges = disjointRanges(1 + random.nextInt(BATCH_MAX));
        checks.clear();
        assertThat(OnLoop.await(loop, end -> {
                    int[] left = {ranges.size()};
                    Completion one = error -> {
                        assertThat(error).isNull();
                        if (--left[0] == 0) {
                            end.complete(null);
                        }
                    };
                    ranges.forEach(range -> submit(range[0], range[1] - range[0], one));
                }))
                .isNull();
        checks.forEach(Runnable::run);
        return ranges.size();
    }

    private List<int[]> disjointRanges(int count) {
        List<int[]> ranges = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int from = random.nextInt(model.length) / block * block;
            int wanted = 1 + random.nextInt(random.nextBoolean() ? 9000 : LENGTH_MAX);
            int end = Math.min(model.length, (from + wanted + block - 1) / block * block);
            if (ranges.stream().noneMatch(other -> from < other[1] && other[0] < end)) {
                ranges.add(new int[] {from, end});
            }
        }
        return ranges;
    }

    private void submit(int offset, int length, Completion end) {
        int flags = random.nextInt(8) == 0 ? RequestFlags.FUA : 0;
        switch (random.nextInt(8)) {
            case 0, 1, 2 -> {
                IoBuffer buffer = IoBuffer.allocate(length);
                byte[] bytes = new byte[length];
                random.nextBytes(bytes);
                buffer.copyFrom(bytes, 0, 0, length);
                System.arraycopy(bytes, 0, model, offset, length);
                device.write(offset, buffer, 0, length, flags, end);
            }
            case 3 -> {
                Arrays.fill(model, offset, offset + length, (byte) 0);
                int hole = random.nextBoolean() ? RequestFlags.NO_HOLE : 0;
                device.writeZeroes(offset, length, flags | hole, end);
            }
            case 4 -> {
                Arrays.fill(model, offset, offset + length, (byte) 0);
                device.discard(offset, length, flags, end);
            }
            case 5 -> device.flush(end);
            default -> {
                IoBuffer buffer = IoBuffer.allocate(length);
                byte[] expected = Arrays.copyOfRange(model, offset, offset + length);
                checks.add(() -> {
                    byte[] bytes = new byte[length];
                    buffer.copyTo(0, bytes, 0, length);
                    assertThat(Arrays.mismatch(bytes, expected))
                            .as("read of %d at %d: first byte that differs", length, offset)
                            .isEqualTo(-1);
                });
                device.read(offset, buffer, 0, length, end);
            }
        }
    }
}
