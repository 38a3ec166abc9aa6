package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * A guest that reads and changes a disk without pause, and knows what it must find.
 *
 * <p>The model: changes that overlap take effect in the order in which they were submitted; a read gives for each byte
 * what was acknowledged when it began, or what a change gave that was in flight meanwhile. After a change that failed
 * the content of its range is unknown until it is written again. A buffer is overwritten as soon as it may be.
 */
final class SimulatedGuest {
    private static final long THINK_NANOS = 400_000;

    private final Loop loop;
    private final BlockDevice disk;
    private final SplittableRandom random;
    private final BufferPool buffers;
    private final int size;
    private final int lengthMax;
    private final long hotBytes;
    private final byte[] content;
    private final boolean[] unknown;
    private final List<Change> changes = new ArrayList<>();
    private final List<Read> reads = new ArrayList<>();
    private boolean stopped;
    private boolean errorsExpected;
    private int inFlight;
    private long longestNanos;
    private long requests;

    SimulatedGuest(Loop loop, BlockDevice disk, BufferPool buffers, byte[] content, long seed) {
        this.loop = loop;
        this.disk = disk;
        this.random = new SplittableRandom(seed);
        this.buffers = buffers;
        this.size = content.length;
        this.content = content;
        this.unknown = new boolean[size];
        this.lengthMax = 1 + random.nextInt(random.nextInt(5) > 0 ? 12_000 : 150_000);
        this.hotBytes = random.nextBoolean() ? size : 1 + random.nextInt(size);
    }

    private record Change(int offset, int end, byte value, long startNanos) {}

    private static final class Read {
        private final int offset;
        private final byte[] before;
        private final boolean[] unknown;
        private final List<Change> meanwhile;

        Read(int offset, byte[] before, boolean[] unknown, List<Change> meanwhile) {
            this.offset = offset;
            this.before = before;
            this.unknown = unknown;
            this.meanwhile = meanwhile;
        }

        /** A change failed meanwhile: what it left is not known. */
        void forget(Change change) {
            int from = Math.max(0, change.offset - offset);
            int end = Math.min(before.length, change.end - offset);
            if (from < end) {
                Arrays.fill(unknown, from, end, true);
            }
        }
    }

    void start(int depth) {
        stopped = false;
        for (int i = 0; i < depth; i++) {
            loop.execute(this::next);
        }
    }

    void stop() {
        stopped = true;
    }

    /** The world ends: what a change in flight has left is not known. */
    void died() {
        stopped = true;
        changes.forEach(change -> Arrays.fill(unknown, change.offset, change.end, true));
    }

    /** Whether a change of a region is in flight. */
    boolean changing(int region, int regionBytes) {
        int from = region * regionBytes;
        return changes.stream().anyMatch(change -> change.offset < from + regionBytes && from < change.end);
    }

    boolean idle() {
        return inFlight == 0;
    }

    void errorsExpected(boolean expected) {
        errorsExpected = expected;
    }

    long longestNanos() {
        return longestNanos;
    }

    long requests() {
        return requests;
    }

    byte[] content() {
        return content;
    }

    /** Fails if a disk does not hold what was acknowledged. */
    void check(byte[] disk, String what) {
        for (int i = 0; i < size; i++) {
            if (disk[i] != content[i] && !unknown[i]) {
                throw new AssertionError(
                        what + " holds " + disk[i] + " and not " + content[i] + " at byte " + i + " of " + size);
            }
        }
    }

    private void next() {
        if (stopped) {
            return;
        }
        inFlight++;
        requests++;
        int offset = (int) random.nextLong(hotBytes);
        int length = 1 + random.nextInt(Math.min(lengthMax, size - offset));
        if (random.nextInt(3) == 0) {
            offset = offset & -4096;
            length = Math.min(size - offset, (length + 4095) & -4096);
        }
        int kind = random.nextInt(16);
        if (kind < 5) {
            read(offset, length);
        } else if (kind < 6) {
            long start = loop.nanoTime();
            disk.flush(error -> ended(start, error));
        } else {
            change(kind, offset, length);
        }
    }

    private void read(int offset, int length) {
        IoBuffer buffer = Objects.requireNonNull(buffers.take(length));
        List<Change> meanwhile = new ArrayList<>(changes);
        Read read = new Read(
                offset,
                Arrays.copyOfRange(content, offset, offset + length),
                Arrays.copyOfRange(unknown, offset, offset + length),
                meanwhile);
        reads.add(read);
        long start = loop.nanoTime();
        disk.read(offset, buffer, 0, length, error -> {
            reads.remove(read);
            if (error == null) {
                byte[] found = new byte[length];
                buffer.copyTo(0, found, 0, length);
                checkRead(read, found);
            }
            buffer.release();
            ended(start, error);
        });
    }

    private void checkRead(Read read, byte[] found) {
        for (int i = Arrays.mismatch(found, read.before); i >= 0 && i < found.length; i++) {
            int at = read.offset + i;
            byte value = found[i];
            if (value != read.before[i]
                    && !read.unknown[i]
                    && read.meanwhile.stream()
                            .noneMatch(change -> change.offset <= at && at < change.end && change.value == value)) {
                throw new AssertionError("a read found " + value + " and not " + read.before[i] + " at byte " + at);
            }
        }
    }

    private void change(int kind, int offset, int length) {
        byte value = (byte) (kind < 12 ? 1 + random.nextInt(255) : 0);
        int flags = random.nextInt(6) == 0 ? RequestFlags.FUA : 0;
        long start = loop.nanoTime();
        Change change = new Change(offset, offset + length, value, start);
        changes.add(change);
        reads.forEach(read -> read.meanwhile.add(change));
        if (kind < 13) {
            IoBuffer buffer = Objects.requireNonNull(buffers.take(length));
            buffer.segment().asSlice(0, length).fill(value);
            disk.write(offset, buffer, 0, length, flags, error -> {
                changed(change, error);
                if (!buffer.retained()) {
                    buffer.segment().asSlice(0, length).fill((byte) 0x5A);
                }
                buffer.release();
                ended(start, error);
            });
        } else if (kind == 13) {
            int hole = random.nextBoolean() ? RequestFlags.NO_HOLE : 0;
            disk.writeZeroes(offset, length, flags | hole, error -> {
                changed(change, error);
                ended(start, error);
            });
        } else {
            disk.discard(offset, length, flags, error -> {
                changed(change, error);
                ended(start, error);
            });
        }
    }

    private void changed(Change change, @Nullable BlockError error) {
        changes.remove(change);
        Arrays.fill(content, change.offset, change.end, change.value);
        Arrays.fill(unknown, change.offset, change.end, error != null);
        if (error != null) {
            reads.forEach(read -> read.forget(change));
        }
    }

    private void ended(long start, @Nullable BlockError error) {
        inFlight--;
        if (error != null && !errorsExpected) {
            throw new AssertionError("the guest got an error: " + error.message());
        }
        longestNanos = Math.max(longestNanos, loop.nanoTime() - start);
        if (random.nextInt(4) > 0) {
            loop.schedule(random.nextLong(THINK_NANOS), this::next);
        } else {
            loop.execute(this::next);
        }
    }
}
