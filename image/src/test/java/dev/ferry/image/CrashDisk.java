package dev.ferry.image;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.testkit.MemoryDisk;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;

/**
 * A file that remembers what was done to it, so that a test can look at what a crash at any point would have left.
 *
 * <p>The fault model. A crash of the machine keeps every change that a completed flush covers; each sector (512 bytes) of
 * any other change that was submitted is kept or lost, independently, and so is each change of length. A crash of the process keeps every change that
 * has ended and loses, or not, those in flight. Requests end after the call that submitted them, in any order.
 */
public final class CrashDisk implements BlockDevice {
    private static final int SECTOR_BYTES = 512;
    private static final int PAGE_BYTES = 4096;
    private static final int LATENCY_NANOS = 1000;

    private final Loop loop;
    private final SplittableRandom random;
    private final boolean flushes;
    private final List<Change> changes = new ArrayList<>();
    private final int boundBytes;
    private byte[] base;
    private int baseLength;
    private int longest;
    private byte[] content;
    private int length;

    private static final class Change {
        private final int offset;
        private final byte[] bytes;
        private final int newLength;
        private boolean ended;
        private boolean durable;

        Change(int offset, byte[] bytes, int newLength) {
            this.offset = offset;
            this.bytes = bytes;
            this.newLength = newLength;
        }
    }

    /** @param flushes false: a flush ends and has done nothing, as some disks do */
    public CrashDisk(Loop loop, long seed, int boundBytes, boolean flushes) {
        this.loop = loop;
        this.random = new SplittableRandom(seed);
        this.boundBytes = boundBytes;
        this.flushes = flushes;
        this.content = new byte[boundBytes];
        this.base = new byte[boundBytes];
    }

    public void fill(byte[] bytes) {
        content = Arrays.copyOf(bytes, boundBytes);
        length = bytes.length;
        changes.clear();
        base = Arrays.copyOf(bytes, boundBytes);
        baseLength = bytes.length;
        longest = bytes.length;
    }

    /** What a crash has left, as a file. */
    public static MemoryDisk restored(byte[] left, int boundBytes) {
        MemoryDisk disk = MemoryDisk.growing(boundBytes);
        disk.resize(left.length, error -> Invariant.that(error == null, "memory grows"));
        for (int at = 0; at < left.length; at += PAGE_BYTES) {
            byte[] part = Arrays.copyOfRange(left, at, Math.min(left.length, at + PAGE_BYTES));
            if (!Arrays.equals(part, new byte[part.length])) {
                disk.fill(at, part);
            }
        }
        return disk;
    }

    /** What is left if the machine, or only the process, stops now. */
    public byte[] afterCrash(SplittableRandom chance, boolean processOnly) {
        byte[] left = Arrays.copyOf(base, longest);
        int leftLength = baseLength;
        boolean keepsAll = chance.nextInt(8) == 0;
        for (Change change : changes) {
            boolean sure = processOnly ? change.ended : change.durable;
            if (change.newLength >= 0) {
                if (sure || chance.nextBoolean()) {
                    if (change.newLength < leftLength) {
                        Arrays.fill(left, change.newLength, leftLength, (byte) 0);
                    }
                    leftLength = change.newLength;
                }
                continue;
            }
            for (int at = 0; at < change.bytes.length; ) {
                int end = Math.min(change.bytes.length, at + SECTOR_BYTES - (change.offset + at) % SECTOR_BYTES);
                if (sure || keepsAll || chance.nextBoolean()) {
                    System.arraycopy(change.bytes, at, left, change.offset + at, end - at);
                    leftLength = Math.max(leftLength, change.offset + end);
                }
                at = end;
            }
        }
        return Arrays.copyOf(left, leftLength);
    }

    @Override
    public Geometry geometry() {
        return Geometry.ofBytes(boundBytes);
    }

    @Override
    public Capabilities capabilities() {
        return new Capabilities(false, false, true, true, true, false, false);
    }

    @Override
    public long lengthBytes() {
        return length;
    }

    /** What nothing can undo any more becomes part of what the file was. */
    private void settle(Change change) {
        if (change.newLength >= 0) {
            if (change.newLength < baseLength) {
                Arrays.fill(base, change.newLength, baseLength, (byte) 0);
            }
            baseLength = change.newLength;
        } else {
            System.arraycopy(change.bytes, 0, base, change.offset, change.bytes.length);
            baseLength = Math.max(baseLength, change.offset + change.bytes.length);
        }
    }

    private void later(Runnable end) {
        loop.schedule(random.nextInt(LATENCY_NANOS), end);
    }

    private void change(int offset, byte[] bytes, Completion completion) {
        Change change = new Change(offset, bytes, -1);
        changes.add(change);
        longest = Math.max(longest, offset + bytes.length);
        later(() -> {
            length = Math.max(length, offset + bytes.length);
            System.arraycopy(bytes, 0, content, offset, bytes.length);
            change.ended = true;
            completion.complete(null);
        });
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int bytes, Completion completion) {
        later(() -> {
            buffer.copyFrom(content, (int) offset, at, bytes);
            completion.complete(null);
        });
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int bytes, int flags, Completion completion) {
        byte[] taken = new byte[bytes];
        buffer.copyTo(at, taken, 0, bytes);
        change((int) offset, taken, completion);
    }

    @Override
    public void writeZeroes(long offset, long bytes, int flags, Completion completion) {
        change((int) offset, new byte[(int) bytes], completion);
    }

    @Override
    public void discard(long offset, long bytes, int flags, Completion completion) {
        change((int) offset, new byte[(int) bytes], completion);
    }

    @Override
    public void resize(long lengthBytes, Completion completion) {
        Change change = new Change(0, new byte[0], (int) lengthBytes);
        changes.add(change);
        longest = Math.max(longest, (int) lengthBytes);
        later(() -> {
            if (lengthBytes < length) {
                Arrays.fill(content, (int) lengthBytes, length, (byte) 0);
            }
            length = (int) lengthBytes;
            change.ended = true;
            completion.complete(null);
        });
    }

    @Override
    public void flush(Completion completion) {
        List<Change> covered = changes.stream().filter(change -> change.ended).toList();
        later(() -> {
            covered.forEach(change -> change.durable |= flushes);
            while (!changes.isEmpty() && changes.getFirst().durable) {
                settle(changes.removeFirst());
            }
            completion.complete(null);
        });
    }

    @Override
    public void extents(long offset, long bytes, ExtentSink sink, Completion completion) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }
}
