package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.OnLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * A guest of a daemon that dies: writes, discards, flushes and reads back, from several threads, through connections that
 * it makes anew when they break, and asks again what had no answer, as a VM's disk does. Each thread has blocks of its own,
 * so that what each block must hold is certain at any time.
 */
final class TortureGuest implements AutoCloseable {
    private static final int BLOCK_BYTES = 4096;
    private static final int THREADS = 4;

    private final NbdUri uri;
    private final EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
    private final Loop loop = new ReactorLoop(loops.all().getFirst());
    private final byte[] initial;
    private final int[] generations;
    private final List<Thread> threads = new ArrayList<>();
    private final AtomicReference<@Nullable NbdClientDevice> connection = new AtomicReference<>();
    private final AtomicReference<@Nullable String> flaw = new AtomicReference<>();
    final AtomicLong operations = new AtomicLong();
    final AtomicLong reconnections = new AtomicLong();
    private volatile boolean stop;

    TortureGuest(String uri, long sizeBytes, long seed) throws BlockException {
        this(uri, new byte[(int) sizeBytes], seed);
    }

    /** @param initial what the disk holds to begin with */
    TortureGuest(String uri, byte[] initial, long seed) throws BlockException {
        this.initial = initial;
        this.uri = NbdUri.parse(uri);
        this.generations = new int[initial.length / BLOCK_BYTES];
        for (int i = 0; i < THREADS; i++) {
            int number = i;
            SplittableRandom random = new SplittableRandom(seed + i);
            threads.add(Thread.ofPlatform().start(() -> work(number, random)));
        }
    }

    private void work(int number, SplittableRandom random) {
        IoBuffer buffer = IoBuffer.allocate(BLOCK_BYTES);
        int blocks = generations.length / THREADS;
        int hot = random.nextInt(1, blocks / 4);
        try {
            while (!stop && flaw.get() == null) {
                int block = random.nextInt(random.nextInt(200) > 0 ? hot : blocks) * THREADS + number;
                switch (random.nextInt(8)) {
                    case 0 -> flush();
                    case 1, 2 -> check(block, buffer);
                    case 3 -> discard(block);
                    default -> write(block, buffer);
                }
                operations.incrementAndGet();
                LockSupport.parkNanos(random.nextInt(3) * 1_000_000L);
            }
        } catch (BlockException | RuntimeException e) {
            flaw.compareAndSet(null, "the guest saw an error: " + e);
        }
    }

    /** A request, again and again until it has been answered. */
    private interface Request {
        void ask(NbdClientDevice disk) throws BlockException;
    }

    private void until(Request request) throws BlockException {
        while (true) {
            NbdClientDevice disk = connected();
            try {
                request.ask(disk);
                return;
            } catch (BlockException e) {
                if (e.kind() != ErrorKind.UNAVAILABLE && e.kind() != ErrorKind.CLOSED) {
                    throw e;
                }
                if (connection.compareAndSet(disk, null)) {
                    reconnections.incrementAndGet();
                }
            }
        }
    }

    private synchronized NbdClientDevice connected() throws BlockException {
        while (true) {
            NbdClientDevice disk = connection.get();
            if (disk != null) {
                return disk;
            }
            try {
                connection.set(NbdClientDevice.open(loops.all().getFirst(), uri, ClientSettings.DEFAULT));
            } catch (BlockException e) {
                if (e.kind() != ErrorKind.UNAVAILABLE) {
                    throw e;
                }
            }
        }
    }

    private void flush() throws BlockException {
        until(disk -> OnLoop.await(loop, disk::flush));
    }

    private void write(int block, IoBuffer buffer) throws BlockException {
        int generation = Math.abs(generations[block]) + 1;
        buffer.copyFrom(content(block, generation), 0, 0, BLOCK_BYTES);
        long offset = (long) block * BLOCK_BYTES;
        until(disk -> OnLoop.await(loop, done -> disk.write(offset, buffer, 0, BLOCK_BYTES, 0, done)));
        generations[block] = generation;
    }

    /** Zeroes are noted as a generation below zero. */
    private void discard(int block) throws BlockException {
        long offset = (long) block * BLOCK_BYTES;
        until(disk -> OnLoop.await(loop, done -> disk.discard(offset, BLOCK_BYTES, 0, done)));
        generations[block] = -Math.max(1, Math.abs(generations[block]));
    }

    private void check(int block, IoBuffer buffer) throws BlockException {
        long offset = (long) block * BLOCK_BYTES;
        until(disk -> OnLoop.await(loop, done -> disk.read(offset, buffer, 0, BLOCK_BYTES, done)));
        byte[] found = new byte[BLOCK_BYTES];
        buffer.copyTo(0, found, 0, BLOCK_BYTES);
        compare(block, found, "a read");
    }

    private void compare(int block, byte[] found, String what) {
        int generation = generations[block];
        byte[] wanted = generation < 0 ? new byte[BLOCK_BYTES] : content(block, generation);
        if (generation == 0) {
            System.arraycopy(initial, block * BLOCK_BYTES, wanted, 0, BLOCK_BYTES);
        }
        if (!Arrays.equals(found, wanted)) {
            flaw.compareAndSet(null, what + " gave other bytes than were written, in block " + block);
        }
    }

    private static byte[] content(int block, int generation) {
        byte[] bytes = new byte[BLOCK_BYTES];
        new SplittableRandom(((long) block << 32) | generation).nextBytes(bytes);
        return bytes;
    }

    /** Fails if the guest has found anything wrong. */
    void assertWell() {
        String found = flaw.get();
        if (found != null) {
            throw new AssertionError(found);
        }
    }

    /** Stops, reads back every block, and compares the disk's file with what must be in it. */
    void stopAndCheck(Path file) throws Exception {
        stopAndRead();
        checkFile(file);
    }

    /** Stops, reads back every block, and flushes. */
    void stopAndRead() throws Exception {
        stop = true;
        for (Thread thread : threads) {
            thread.join(60_000);
        }
        assertWell();
        IoBuffer buffer = IoBuffer.allocate(BLOCK_BYTES);
        for (int block = 0; block < generations.length; block++) {
            check(block, buffer);
        }
        flush();
        assertWell();
    }

    /** Compares a raw image of the disk with what must be in it. */
    void checkFile(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        for (int block = 0; block < generations.length; block++) {
            byte[] found = Arrays.copyOfRange(bytes, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
            compare(block, found, "the file");
        }
        assertWell();
    }

    @Override
    public void close() throws IOException {
        stop = true;
        NbdClientDevice disk = connection.get();
        if (disk != null) {
            loop.execute(() -> disk.close(error -> {}));
        }
        Objects.requireNonNull(loops).close();
    }
}
