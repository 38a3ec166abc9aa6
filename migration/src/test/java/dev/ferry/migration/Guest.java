package dev.ferry.migration;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * A guest that writes, zeroes, discards and flushes at random, reads back what it wrote, and knows at any time what its
 * disk must hold. Several workers, each with blocks of its own, all on the disk's loop.
 */
final class Guest {
    private static final int BLOCK = 4096;
    private static final int WORKERS = 4;
    private static final int WRITE_KINDS = 12;
    private static final long PACE_NANOS = 100_000;
    private static final long HANGS_SECONDS = 100;

    private final OpenDisk disk;
    private final Loop loop;
    private final byte[] model;
    private final CountDownLatch stopped = new CountDownLatch(WORKERS);
    private final Worker[] workers = new Worker[WORKERS];
    final AtomicLong operations = new AtomicLong();
    final AtomicReference<String> flaw = new AtomicReference<>();
    private volatile boolean stop;
    private int kinds = 16;

    /** @param content what is on the disk now; changed along with it */
    Guest(OpenDisk disk, byte[] content, long seed) {
        this.disk = disk;
        this.loop = disk.loop().loop();
        this.model = content;
        for (int i = 0; i < WORKERS; i++) {
            workers[i] = new Worker(i, new Random(seed + i));
        }
    }

    /** It neither zeroes nor discards, and so takes no room where it has written before. */
    Guest onlyWriting() {
        kinds = WRITE_KINDS;
        return this;
    }

    Guest start() {
        for (Worker worker : workers) {
            loop.execute(worker::step);
        }
        return this;
    }

    /** Waits for so many more operations. */
    void goOn(long count) throws InterruptedException {
        long goal = operations.get() + count;
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(HANGS_SECONDS);
        while (operations.get() < goal && flaw.get() == null) {
            if (System.nanoTime() > deadline) {
                throw new AssertionError("the guest hangs");
            }
            Thread.onSpinWait();
            TimeUnit.MILLISECONDS.sleep(1);
        }
        if (flaw.get() != null) {
            throw new AssertionError(flaw.get());
        }
    }

    void stop() throws InterruptedException {
        stop = true;
        if (!stopped.await(HANGS_SECONDS, TimeUnit.SECONDS)) {
            throw new AssertionError("the guest hangs");
        }
        if (flaw.get() != null) {
            throw new AssertionError(flaw.get());
        }
    }

    /** Compares a file with what the disk must hold; a change in flight when the world ended may be there or not. */
    void check(Path file) throws Exception {
        byte[] found = Files.readAllBytes(file);
        if (found.length != model.length) {
            throw new AssertionError("size " + found.length);
        }
        for (Worker worker : workers) {
            if (worker.unsure >= 0) {
                int from = worker.unsure * BLOCK;
                int to = Math.min(from + BLOCK, model.length);
                System.arraycopy(model, from, found, from, to - from);
            }
        }
        int differs = Arrays.mismatch(found, model);
        if (differs >= 0) {
            throw new AssertionError("byte " + differs + " is wrong");
        }
    }

    private final class Worker implements Completion {
        private final int number;
        private final Random random;
        private final IoBuffer buffer = IoBuffer.allocate(BLOCK);
        private final byte[] bytes = new byte[BLOCK];
        private int block;
        private int length;
        private boolean reading;
        private boolean flushing;
        volatile int unsure = -1;

        Worker(int number, Random random) {
            this.number = number;
            this.random = random;
        }

        void step() {
            if (stop) {
                stopped.countDown();
                return;
            }
            BlockDevice front = disk.front();
            int blocks = (model.length + BLOCK - 1) / BLOCK;
            reading = false;
            flushing = random.nextInt(64) == 0;
            if (flushing) {
                front.flush(this);
                return;
            }
            block = random.nextInt((blocks - number + WORKERS - 1) / WORKERS) * WORKERS + number;
            length = Math.min(BLOCK, model.length - block * BLOCK);
            unsure = block;
            int kind = random.nextInt(kinds);
            if (kind < WRITE_KINDS) {
                random.nextBytes(bytes);
                buffer.copyFrom(bytes, 0, 0, length);
                front.write((long) block * BLOCK, buffer, 0, length, 0, this);
            } else {
                Arrays.fill(bytes, (byte) 0);
                if (kind < 14) {
                    front.writeZeroes((long) block * BLOCK, length, 0, this);
                } else {
                    front.discard((long) block * BLOCK, length, 0, this);
                }
            }
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error != null) {
                flaw.compareAndSet(null, "the guest saw an error: " + error.message());
                stopped.countDown();
                return;
            }
            operations.incrementAndGet();
            if (flushing) {
                next();
            } else if (!reading) {
                System.arraycopy(bytes, 0, model, block * BLOCK, length);
                unsure = -1;
                reading = true;
                loop.execute(() -> disk.front().read((long) block * BLOCK, buffer, 0, length, this));
            } else {
                byte[] found = new byte[length];
                buffer.copyTo(0, found, 0, length);
                if (!Arrays.equals(found, 0, length, model, block * BLOCK, block * BLOCK + length)) {
                    flaw.compareAndSet(null, "the guest read what it had not written, block " + block);
                }
                next();
            }
        }

        private void next() {
            loop.execute(() -> loop.schedule(PACE_NANOS, this::step));
        }
    }
}
