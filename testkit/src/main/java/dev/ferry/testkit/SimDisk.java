package dev.ferry.testkit;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * A disk in memory that behaves as badly as a disk may.
 *
 * <p>The fault model. Requests end after a random time, in any order, some of them inline. A write takes its bytes in two
 * halves, at two instants before it ends; a read likewise, so that both see what others do meanwhile. A request may fail:
 * a change that fails has been made in part, and a flush that fails loses, if asked to, what loss of power may lose. A
 * request may stall for ever, or until it is let go. When power is lost, each change that was not flushed, or had not
 * ended, is kept, lost or torn, one independently of the other; so is a change of length; what is in flight never ends.
 * Bytes do not rot.
 */
public final class SimDisk implements BlockDevice {
    private static final int INLINE_ONE_IN = 6;
    private static final int SLOW_ONE_IN = 50;
    private static final int SLOW_FACTOR = 30;
    private static final int SECTOR_BYTES = 512;

    private final String name;
    private final Loop loop;
    private final SplittableRandom random;
    private final Geometry geometry;
    private final long latencyNanos;
    private final List<Unflushed> unflushed = new ArrayList<>();
    private final List<Runnable> stalled = new ArrayList<>();
    private SparseBytes content;
    private SparseBytes durable;
    private final boolean growing;
    private long lengthBytes;
    private long durableLengthBytes;
    private int errorsPerMillion;
    private int stallsPerMillion;
    private int inFlight;
    /** Changes that were begun and have not ended. */
    private final List<Unflushed> begun = new ArrayList<>();
    /** How often power was lost: what was in flight before has no effect after. */
    private int life;

    private boolean failedFlushesLose;
    private int offloadUnitBytes;
    private int refusalsPerMillion;
    /** How often a process died: a flush that fails after that has nobody to tell. */
    private int deaths;

    private boolean failureUntold;

    /** @param latencyNanos how long a request takes, in the mean; some take thirty times as long */
    public SimDisk(String name, Loop loop, long seed, Geometry geometry, long latencyNanos) {
        this(name, loop, seed, geometry, latencyNanos, false);
    }

    /** A file of no length that may grow up to {@code boundBytes}. */
    public static SimDisk growing(String name, Loop loop, long seed, long boundBytes, long latencyNanos) {
        return new SimDisk(name, loop, seed, Geometry.ofBytes(boundBytes), latencyNanos, true);
    }

    private SimDisk(String name, Loop loop, long seed, Geometry geometry, long latencyNanos, boolean growing) {
        this.growing = growing;
        this.lengthBytes = growing ? 0 : geometry.sizeBytes();
        this.durableLengthBytes = lengthBytes;
        this.name = name;
        this.loop = loop;
        this.random = new SplittableRandom(seed);
        this.geometry = geometry;
        this.latencyNanos = latencyNanos;
        this.content = new SparseBytes(geometry.sizeBytes());
        this.durable = new SparseBytes(geometry.sizeBytes());
    }

    /** A change that a loss of power may undo. */
    private static final class Unflushed {
        private final long offset;
        private final long length;
        private final byte @Nullable [] bytes;
        private final boolean hole;
        private boolean settled;

        Unflushed(long offset, long length, byte @Nullable [] bytes, boolean hole) {
            this.offset = offset;
            this.length = length;
            this.bytes = bytes;
            this.hole = hole;
        }

        boolean overlaps(Unflushed other) {
            return offset < other.offset + other.length && other.offset < offset + length;
        }

        void applyTo(SparseBytes to) {
            if (settled) {
                return;
            }
            settled = true;
            if (bytes != null) {
                to.write(offset, bytes);
            } else {
                to.zero(offset, length, hole);
            }
        }

        /** Some of its sectors have made it. */
        void tearInto(SparseBytes to, SplittableRandom random) {
            settled = true;
            for (long from = offset; from < offset + length; ) {
                long end = Math.min(offset + length, (from / SECTOR_BYTES + 1) * SECTOR_BYTES);
                if (random.nextBoolean()) {
                    if (bytes != null) {
                        to.write(from, Arrays.copyOfRange(bytes, (int) (from - offset), (int) (end - offset)));
                    } else {
                        to.zero(from, end - from, false);
                    }
                }
                from = end;
            }
        }
    }

    // ---- what tests do to it

    /** How many of a million requests fail from now on. */
    public void errorsPerMillion(int count) {
        errorsPerMillion = count;
    }

    /** From now on a flush that fails loses some of what was not flushed. */
    public void failedFlushesLose() {
        failedFlushesLose = true;
    }

    /**
     * Copies by itself from another simulated disk, in two halves at two instants.
     *
     * @param refusals how many of a million copies it has made in part when it says that it cannot
     */
    public void offloads(int unitBytes, int refusals) {
        offloadUnitBytes = unitBytes;
        refusalsPerMillion = refusals;
    }

    /** How many of a million requests never end from now on. */
    public void stallsPerMillion(int count) {
        stallsPerMillion = count;
    }

    /** Lets go on what has stalled. */
    public void endStalls() {
        List<Runnable> ending = List.copyOf(stalled);
        stalled.clear();
        ending.forEach(loop::execute);
    }

    public int inFlight() {
        return inFlight;
    }

    public byte[] bytes(long offset, int length) {
        return content.read(offset, length);
    }

    /** Puts bytes there, durably, past all that is above. */
    public void fill(long offset, byte[] bytes) {
        content.write(offset, bytes);
        durable.write(offset, bytes);
        lengthBytes = Math.max(lengthBytes, offset + bytes.length);
        durableLengthBytes = Math.max(durableLengthBytes, offset + bytes.length);
    }

    public long allocatedBytes() {
        return content.allocatedBytes();
    }

    /**
     * The process that uses it has died. A flush of it that fails now is told to the next that flushes, as the system does
     * where nobody has heard of an error yet.
     */
    public void processDied() {
        deaths++;
    }

    /** What is left is what was flushed, and by chance more; what is in flight never ends. */
    public void losePower() {
        life++;
        failureUntold = false;
        inFlight = 0;
        stalled.clear();
        unflushed.addAll(begun);
        begun.clear();
        loseUnflushed();
    }

    private void loseUnflushed() {
        for (Unflushed change : unflushed) {
            switch (random.nextInt(3)) {
                case 0 -> change.applyTo(durable);
                case 1 -> change.tearInto(durable, random);
                default -> change.settled = true;
            }
        }
        unflushed.clear();
        if (random.nextBoolean()) {
            durableLengthBytes = lengthBytes;
        }
        lengthBytes = durableLengthBytes;
        cut(durable, lengthBytes);
        content = durable.copy();
    }

    private void cut(SparseBytes bytes, long length) {
        if (length < geometry.sizeBytes()) {
            bytes.zero(length, geometry.sizeBytes() - length, true);
        }
    }

    // ---- the device

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return Capabilities.ALL;
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        int half = random.nextInt(length + 1);
        submit(
                "read",
                offset,
                length,
                () -> content.read(offset, buffer, at, half),
                () -> content.read(offset + half, buffer, at + half, length - half),
                completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        int half = random.nextInt(length + 1);
        byte[] bytes = new byte[length];
        buffer.copyTo(at, bytes, 0, length);
        Unflushed change = new Unflushed(offset, length, bytes, false);
        begun.add(change);
        submit(
                "write",
                offset,
                length,
                () -> content.write(offset, buffer, at, half),
                () -> {
                    content.write(offset, buffer, at, length);
                    lengthBytes = Math.max(lengthBytes, offset + length);
                    changed(change, flags);
                },
                completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        zero("zero", offset, length, (flags & RequestFlags.NO_HOLE) == 0, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        zero("discard", offset, length, true, flags, completion);
    }

    @Override
    public int offloadUnitBytes(BlockDevice source) {
        return source.store() instanceof SimDisk && source.store() != this ? offloadUnitBytes : 0;
    }

    @Override
    public void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        SimDisk from = (SimDisk) source.store();
        boolean refuses = random.nextInt(1_000_000) < refusalsPerMillion;
        long pages = length / SparseBytes.PAGE_BYTES;
        long half = random.nextLong(pages + 1) * SparseBytes.PAGE_BYTES;
        Unflushed change = new Unflushed(offset, length, from.content.read(offset, (int) length), false);
        begun.add(change);
        submit(
                "copy",
                offset,
                length,
                () -> content.copyPages(from.content, offset, half),
                () -> {
                    if (!refuses) {
                        content.copyPages(from.content, offset + half, length - half);
                    }
                    begun.remove(change);
                    for (long page = offset; page < offset + length; page += SparseBytes.PAGE_BYTES) {
                        boolean hole = content.isHole(page);
                        byte[] bytes = hole ? null : content.read(page, SparseBytes.PAGE_BYTES);
                        unflushed.add(new Unflushed(page, SparseBytes.PAGE_BYTES, bytes, hole));
                    }
                },
                error -> completion.complete(
                        error == null && !refuses
                                ? null
                                : BlockError.of(
                                        ErrorKind.UNSUPPORTED, name, "copy", offset, length, "the store says no")));
    }

    private void zero(String operation, long offset, long length, boolean hole, int flags, Completion completion) {
        long half = random.nextLong(length + 1);
        Unflushed change = new Unflushed(offset, length, null, hole);
        begun.add(change);
        submit(
                operation,
                offset,
                length,
                () -> content.zero(offset, half, hole),
                () -> {
                    content.zero(offset, length, hole);
                    changed(change, flags);
                },
                completion);
    }

    private void changed(Unflushed change, int flags) {
        begun.remove(change);
        if ((flags & RequestFlags.FUA) != 0) {
            // What was changed before at the same place must not come back over it: it goes first, with all before it.
            int end = unflushed.size();
            while (end > 0 && !unflushed.get(end - 1).overlaps(change)) {
                end--;
            }
            List<Unflushed> first = unflushed.subList(0, end);
            first.forEach(earlier -> earlier.applyTo(durable));
            first.clear();
            change.applyTo(durable);
        } else {
            unflushed.add(change);
        }
    }

    /** What a request that failed has left there, once for all. */
    private void torn(String operation, long offset, long length) {
        begun.removeIf(change -> change.offset == offset && change.length == length);
        if (operation.equals("flush")) {
            if (failedFlushesLose) {
                loseUnflushed();
            }
        } else if (length > 0) {
            // What was a hole and was not reached stays one: a loss of power allocates nothing.
            content.extents(offset, length, (from, run, state) -> {
                byte[] left = state == 0 ? content.read(from, (int) run) : null;
                unflushed.add(new Unflushed(from, run, left, left == null));
            });
        }
    }

    @Override
    public void flush(Completion completion) {
        if (failureUntold) {
            failureUntold = false;
            completion.complete(BlockError.of(ErrorKind.IO, name, "flush", "an earlier flush failed"));
            return;
        }
        int begunIn = deaths;
        List<Unflushed> covered = List.copyOf(unflushed);
        long coveredLength = lengthBytes;
        submit(
                "flush",
                0,
                0,
                () -> {},
                () -> {
                    for (Unflushed change : covered) {
                        change.applyTo(durable);
                    }
                    unflushed.removeIf(change -> change.settled);
                    durableLengthBytes = coveredLength;
                    cut(durable, coveredLength);
                },
                error -> {
                    failureUntold |= error != null && begunIn != deaths;
                    completion.complete(error);
                });
    }

    @Override
    public long lengthBytes() {
        return lengthBytes;
    }

    @Override
    public void resize(long newLengthBytes, Completion completion) {
        if (!growing) {
            BlockDevice.super.resize(newLengthBytes, completion);
            return;
        }
        submit(
                "resize",
                0,
                0,
                () -> {},
                () -> {
                    lengthBytes = newLengthBytes;
                    cut(content, newLengthBytes);
                },
                completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long part = random.nextInt(3) == 0 ? 1 + random.nextLong(length) : length;
        submit("extents", offset, length, () -> {}, () -> content.extents(offset, part, sink), completion);
    }

    @Override
    public void close(Completion completion) {
        completion.complete(null);
    }

    private void submit(
            String operation, long offset, long length, Runnable firstHalf, Runnable rest, Completion completion) {
        inFlight++;
        int begunIn = life;
        boolean fails = random.nextInt(1_000_000) < errorsPerMillion;
        Runnable end = () -> {
            if (life != begunIn) {
                return;
            }
            inFlight--;
            if (fails) {
                torn(operation, offset, length);
                completion.complete(
                        BlockError.of(ErrorKind.IO, name, operation, offset, length, "the simulated disk says so"));
            } else {
                rest.run();
                completion.complete(null);
            }
        };
        if (random.nextInt(1_000_000) < stallsPerMillion) {
            stalled.add(() -> {
                firstHalf.run();
                end.run();
            });
        } else if (random.nextInt(INLINE_ONE_IN) == 0) {
            firstHalf.run();
            end.run();
        } else {
            long time = 1 + random.nextLong(2 * latencyNanos);
            if (random.nextInt(SLOW_ONE_IN) == 0) {
                time *= SLOW_FACTOR;
            }
            loop.schedule(random.nextLong(time), () -> {
                if (life == begunIn) {
                    firstHalf.run();
                }
            });
            loop.schedule(time, end);
        }
    }
}
