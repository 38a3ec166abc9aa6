package dev.ferry.migration;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A guest that knows what may be on its disk after a loss of power: of each block, what it last made durable by a flush, or
 * anything that it wrote there since. It goes on until the power fails.
 */
final class UnsureGuest {
    private static final int BLOCK = 4096;
    private static final int WORKERS = 4;
    private static final long HANGS_SECONDS = 100;

    private final OpenDisk disk;
    private final Loop loop;
    private final byte[] before;
    /** By block, oldest first: what it may hold. 0 is what was there before. On the loop. */
    private final Deque<Long>[] possible;

    private final CountDownLatch ended = new CountDownLatch(WORKERS);
    private long lastVersion;
    private volatile @Nullable String flaw;
    private volatile boolean stop;
    private volatile boolean dark;
    final AtomicLong operations = new AtomicLong();

    /** @param before what is on the disk now */
    @SuppressWarnings({"unchecked", "rawtypes"}) // an array of a generic type
    UnsureGuest(OpenDisk disk, byte[] before) {
        this.disk = disk;
        this.loop = disk.loop().loop();
        this.before = before;
        this.possible = new Deque[before.length / BLOCK];
        Arrays.setAll(possible, block -> new ArrayDeque<>(List.of(0L)));
    }

    UnsureGuest start(long seed) {
        for (int i = 0; i < WORKERS; i++) {
            Worker worker = new Worker(i, new Random(seed + i));
            loop.execute(worker::step);
        }
        return this;
    }

    /** Waits for so many more operations. */
    void goOn(long count) throws InterruptedException {
        long goal = operations.get() + count;
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(HANGS_SECONDS);
        while (operations.get() < goal) {
            if (System.nanoTime() > deadline || flaw != null) {
                throw new AssertionError(flaw == null ? "the guest hangs" : "the guest saw an error: " + flaw);
            }
            TimeUnit.MILLISECONDS.sleep(1);
        }
    }

    /**
     * What it is told from now on does not count any more: a file system that is shut down may call a flush a success that has
     * made nothing durable.
     */
    void powerFails() {
        dark = true;
    }

    /** Waits until it has ended. */
    void await() throws InterruptedException {
        if (!ended.await(HANGS_SECONDS, TimeUnit.SECONDS)) {
            throw new AssertionError("the guest hangs");
        }
    }

    void stop() throws InterruptedException {
        stop = true;
        await();
    }

    /** Reads a disk as a guest sees it. */
    static byte[] read(OpenDisk disk) throws Exception {
        byte[] content = new byte[Math.toIntExact(disk.sizeBytes())];
        IoBuffer buffer = IoBuffer.allocate(BLOCK);
        for (int at = 0; at < content.length; at += BLOCK) {
            int from = at;
            OnLoop.await(disk.loop().loop(), done -> disk.front().read(from, buffer, 0, BLOCK, done));
            buffer.copyTo(0, content, at, BLOCK);
        }
        return content;
    }

    /** Compares what is there, after {@link #powerFails} and {@link #await}, with what may be. */
    void checkAfterLossOfPower(byte[] found) {
        for (int block = 0; block < possible.length; block++) {
            check(found, block, possible[block]);
        }
    }

    /** Compares what is there, after {@link #stop}, with what was written last. */
    void check(byte[] found) {
        for (int block = 0; block < possible.length; block++) {
            check(found, block, List.of(possible[block].getLast()));
        }
    }

    private void check(byte[] found, int block, Collection<Long> versions) {
        byte[] there = Arrays.copyOfRange(found, block * BLOCK, (block + 1) * BLOCK);
        if (versions.stream().noneMatch(version -> Arrays.equals(there, content(block, version)))) {
            throw new AssertionError(
                    "block " + block + " is not of the versions " + versions + ", but " + origin(block, there));
        }
    }

    private String origin(int block, byte[] there) {
        for (long version = 0; version <= lastVersion; version++) {
            if (Arrays.equals(there, content(block, version))) {
                return "version " + version;
            }
        }
        return "nothing that was ever written there";
    }

    private byte[] content(int block, long version) {
        byte[] bytes = new byte[BLOCK];
        if (version == 0) {
            System.arraycopy(before, block * BLOCK, bytes, 0, BLOCK);
        } else if (version % 4 != 0) {
            new Random(version).nextBytes(bytes);
        }
        return bytes;
    }

    private final class Worker implements Completion {
        private final int number;
        private final Random random;
        private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
        /** By block, what was the newest that had ended when a flush began; null while none is under way. */
        private long @Nullable [] flushed;

        private final long[] newest = new long[possible.length];

        Worker(int number, Random random) {
            this.number = number;
            this.random = random;
        }

        void step() {
            if (stop) {
                ended.countDown();
                return;
            }
            BlockDevice front = disk.front();
            if (random.nextInt(32) == 0) {
                flushed = newest.clone();
                front.flush(this);
                return;
            }
            // Much of the disk is let be, so that some of what was copied of it stays copied.
            int range = random.nextInt(32) == 0 ? possible.length : possible.length / 8;
            int block = random.nextInt(range / WORKERS) * WORKERS + number;
            long version = ++lastVersion;
            possible[block].addLast(version);
            newest[block] = version;
            long offset = (long) block * BLOCK;
            if (version % 4 != 0) {
                buffer.copyFrom(content(block, version), 0, 0, BLOCK);
                front.write(offset, buffer, 0, BLOCK, 0, this);
            } else if (version % 8 == 0) {
                front.writeZeroes(offset, BLOCK, 0, this);
            } else {
                front.discard(offset, BLOCK, 0, this);
            }
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (dark) {
                ended.countDown();
                return;
            }
            if (error != null) {
                flaw = error.message();
                ended.countDown();
                return;
            }
            operations.incrementAndGet();
            long[] durable = flushed;
            flushed = null;
            if (durable != null) {
                for (int block = number; block < possible.length; block += WORKERS) {
                    while (possible[block].getFirst() < durable[block]) {
                        possible[block].removeFirst();
                    }
                }
            }
            loop.schedule(100_000, this::step);
        }
    }
}
