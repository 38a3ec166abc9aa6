package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.CrashDisk;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.Program;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A crash at any point leaves a sound image, with leaks at most: what was flushed is there, what was written since is
 * there, or what was there before is. A crash of the process alone loses nothing that was acknowledged.
 */
class CrashTest {
    private static final int SECTOR = 512;
    static final int SIZE = 384 << 10;
    static final int ROOM = 16 << 20;
    private static final int SEEDS = 2;

    /** So little that it is filled again and again. */
    static final long RESERVE_BYTES = 16 << 10;

    private static final byte[] ZEROES = new byte[4096];

    @TempDir
    Path directory;

    /** A guest whose every sector says which write it comes from, and what a reader may find there. */
    static final class Guest {
        private final SimLoop loop;
        private final SplittableRandom random;
        private final List<Set<Long>> possible = new ArrayList<>();
        private final long[] acknowledged = new long[SIZE / SECTOR];
        private final boolean[] uncertain = new boolean[SIZE / SECTOR];
        private long tag = 1000;

        Guest(SimLoop loop, long seed, byte[] content) {
            this.loop = loop;
            this.random = new SplittableRandom(seed);
            for (int i = 0; i < SIZE / SECTOR; i++) {
                long value = tagIn(content, i * SECTOR);
                possible.add(new HashSet<>(Set.of(value)));
                acknowledged[i] = value;
            }
        }

        static long tagIn(byte[] bytes, int at) {
            return Qcow2Layout.u64(bytes, at);
        }

        static void tag(byte[] bytes, int from, int to, long value) {
            for (int at = from; at < to; at += 8) {
                Qcow2Layout.u64(bytes, at, value);
            }
        }

        /** A few requests that do not overlap, then sometimes a flush; ends when all have. */
        void batch(BlockDevice device) {
            List<int[]> ranges = new ArrayList<>();
            int[] left = {0};
            for (int i = 0; i < 4; i++) {
                int from = random.nextInt(SIZE / SECTOR);
                int count = 1 + random.nextInt(random.nextInt(4) == 0 ? 100 : 12);
                int to = Math.min(SIZE / SECTOR, from + count);
                // The front keeps requests apart that share a block of 4096 bytes.
                if (ranges.stream()
                        .noneMatch(other -> from / 8 <= (other[1] - 1) / 8 && other[0] / 8 <= (to - 1) / 8)) {
                    ranges.add(new int[] {from, to});
                }
            }
            for (int[] range : ranges) {
                left[0]++;
                submit(device, range[0], range[1], error -> {
                    assertThat(error).isNull();
                    left[0]--;
                });
            }
            if (random.nextInt(3) == 0) {
                assertThat(loop.runUntil(() -> left[0] == 0, Long.MAX_VALUE)).isTrue();
                flush(device, left);
            }
            waiting = left;
        }

        private int[] waiting = {0};

        private void flush(BlockDevice device, int[] left) {
            left[0]++;
            List<Set<Long>> now = possible.stream()
                    .map(set -> (Set<Long>) new HashSet<Long>())
                    .toList();
            for (int i = 0; i < acknowledged.length; i++) {
                now.get(i).add(acknowledged[i]);
            }
            device.flush(error -> {
                assertThat(error).isNull();
                left[0]--;
                for (int i = 0; i < acknowledged.length; i++) {
                    possible.set(i, now.get(i));
                }
            });
        }

        private void submit(BlockDevice device, int from, int to, Completion end) {
            boolean zero = random.nextInt(3) == 0;
            long value = zero ? 0 : tag++;
            for (int i = from; i < to; i++) {
                possible.get(i).add(value);
                uncertain[i] = true;
            }
            Completion done = error -> {
                for (int i = from; i < to; i++) {
                    acknowledged[i] = value;
                    uncertain[i] = false;
                }
                end.complete(error);
            };
            int length = (to - from) * SECTOR;
            if (!zero) {
                byte[] bytes = new byte[length];
                tag(bytes, 0, length, value);
                IoBuffer buffer = IoBuffer.allocate(length);
                buffer.copyFrom(bytes, 0, 0, length);
                device.write((long) from * SECTOR, buffer, 0, length, 0, done);
            } else if (random.nextBoolean()) {
                device.discard((long) from * SECTOR, length, 0, done);
            } else {
                device.writeZeroes((long) from * SECTOR, length, 0, done);
            }
        }

        void await() {
            int[] left = waiting;
            assertThat(loop.runUntil(() -> left[0] == 0, Long.MAX_VALUE)).isTrue();
        }

        void verify(byte[] content, boolean processOnly) {
            for (int i = 0; i < SIZE / SECTOR; i++) {
                long found = tagIn(content, i * SECTOR);
                for (int at = 8; at < SECTOR; at += 8) {
                    if (tagIn(content, i * SECTOR + at) != found) {
                        throw new AssertionError("sector " + i + " is torn");
                    }
                }
                if (processOnly && !uncertain[i] && found != acknowledged[i]) {
                    throw new AssertionError("sector " + i + " is " + found + ", acknowledged was " + acknowledged[i]);
                }
                if (!possible.get(i).contains(found)) {
                    throw new AssertionError("sector " + i + " is " + found + ", not one of " + possible.get(i));
                }
            }
        }
    }

    static @Nullable BlockDevice below(byte @Nullable [] base) {
        if (base == null) {
            return null;
        }
        MemoryDisk memory = new MemoryDisk(base.length);
        memory.fill(0, base);
        return CheckedDevice.of(memory, "base");
    }

    private static byte[] contentOf(byte[] file, byte @Nullable [] base, boolean mend) throws Exception {
        SimLoop loop = new SimLoop(1);
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        BlockDevice checked = CheckedDevice.of(disk, "left");
        disk.resize(file.length, error -> assertThat(error).isNull());
        for (int at = 0; at < file.length; at += ZEROES.length) {
            int end = Math.min(file.length, at + ZEROES.length);
            if (!Arrays.equals(file, at, end, ZEROES, 0, end - at)) {
                disk.fill(at, Arrays.copyOfRange(file, at, end));
            }
        }
        LoopBytes bytes = new LoopBytes(loop, checked);
        CheckReport report = Qcow2Checker.check(bytes, Qcow2Checker.Repair.NONE);
        assertThat(report.corruptions()).as(report.firstFinding()).isZero();
        if (mend) {
            assertThat(Qcow2Checker.check(bytes, Qcow2Checker.Repair.LEAKS)
                            .findings()
                            .size())
                    .isEqualTo(report.findings().size());
            assertThat(Qcow2Checker.check(bytes, Qcow2Checker.Repair.NONE).findings())
                    .isEmpty();
        }
        Qcow2Device device = new Qcow2Device(
                loop,
                checked,
                mend ? Qcow2Image.openForWriting(bytes) : Qcow2Image.openReadOnly(bytes),
                below(Qcow2Description.of(bytes).backingName() == null ? null : base),
                BufferPool.ofBytes(8 << 20),
                loop,
                Qcow2Settings.DEFAULT);
        IoBuffer whole = IoBuffer.allocate(SIZE);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, SIZE, end)))
                .isNull();
        byte[] content = new byte[SIZE];
        whole.copyTo(0, content, 0, SIZE);
        return content;
    }

    static void crashes(long seed, byte[] file, byte @Nullable [] base, boolean flushes) throws Exception {
        SimLoop loop = new SimLoop(seed);
        SplittableRandom chance = new SplittableRandom(seed);
        CrashDisk disk = new CrashDisk(loop, seed, ROOM, flushes);
        disk.fill(file);
        BlockDevice checked = CheckedDevice.of(disk, "crashing");
        Qcow2Image image = Qcow2Image.openForWriting(new LoopBytes(loop, checked));
        BlockDevice device = CheckedDevice.of(
                new Qcow2Device(
                        loop,
                        checked,
                        image,
                        below(base),
                        BufferPool.ofBytes(8 << 20),
                        loop,
                        new Qcow2Settings(0, false, 1, RESERVE_BYTES)),
                "image");
        Guest guest = new Guest(loop, seed, contentOf(file, base, false));
        for (int batch = 0; batch < 30; batch++) {
            guest.batch(device);
            for (int point = 0; point < 5; point++) {
                loop.runFor(chance.nextInt(2500));
                boolean processOnly = chance.nextInt(3) == 0;
                byte[] left = disk.afterCrash(chance, processOnly);
                guest.verify(contentOf(left, base, chance.nextInt(10) == 0), processOnly);
            }
            guest.await();
            if (chance.nextInt(10) == 0) {
                // Long enough for the recycler.
                loop.runFor(2_000_000_000L);
            }
        }
        BlockError[] closed = new BlockError[1];
        boolean[] ended = new boolean[1];
        device.close(error -> {
            closed[0] = error;
            ended[0] = true;
        });
        while (!ended[0]) {
            guest.verify(contentOf(disk.afterCrash(chance, false), base, false), false);
            loop.runFor(chance.nextInt(30_000));
        }
        assertThat(closed[0]).isNull();
        byte[] left = disk.afterCrash(chance, true);
        guest.verify(contentOf(left, base, false), true);
    }

    /** A guest at work on an overlay that takes over its backing file, and then lies over nothing. */
    static void streams(long seed, byte[] file, byte[] base) throws Exception {
        SimLoop loop = new SimLoop(seed);
        SplittableRandom chance = new SplittableRandom(seed);
        CrashDisk disk = new CrashDisk(loop, seed, ROOM, true);
        disk.fill(file);
        BlockDevice checked = CheckedDevice.of(disk, "crashing");
        Qcow2Image image = Qcow2Image.openForWriting(new LoopBytes(loop, checked));
        Qcow2Device streamed = new Qcow2Device(
                loop,
                checked,
                image,
                below(base),
                BufferPool.ofBytes(8 << 20),
                loop,
                new Qcow2Settings(0, false, 1, RESERVE_BYTES));
        BlockDevice device = CheckedDevice.of(streamed, "image");
        Guest guest = new Guest(loop, seed, contentOf(file, base, false));
        int step = Math.max(16 << 10, (int) streamed.clusterBytes());
        int[] under = {0};
        for (int at = 0; at < SIZE; at += step) {
            under[0]++;
            streamed.populate(at, Math.min(step, SIZE - at), false, error -> {
                assertThat(error).isNull();
                under[0]--;
            });
            guest.batch(device);
            loop.runFor(chance.nextInt(2500));
            boolean processOnly = chance.nextInt(3) == 0;
            guest.verify(contentOf(disk.afterCrash(chance, processOnly), base, false), processOnly);
            guest.await();
        }
        assertThat(loop.runUntil(() -> under[0] == 0, Long.MAX_VALUE)).isTrue();
        assertThat(OnLoop.await(loop, device::flush)).isNull();
        Qcow2Link.drop(new LoopBytes(loop, checked));
        BlockDevice dropped = streamed.rebase(null);
        assertThat(dropped).isNotNull();
        for (int batch = 0; batch < 10; batch++) {
            guest.batch(device);
            loop.runFor(chance.nextInt(2500));
            // What lay below is gone for good, whatever else is lost.
            byte[] left = disk.afterCrash(chance, false);
            guest.verify(contentOf(left, new byte[base.length], false), false);
            guest.await();
        }
        assertThat(OnLoop.await(loop, device::close)).isNull();
        guest.verify(contentOf(disk.afterCrash(chance, true), new byte[base.length], true), true);
    }

    static byte[] image(Qcow2Options options) throws Exception {
        SimLoop loop = new SimLoop(1);
        MemoryDisk disk = MemoryDisk.growing(ROOM);
        Qcow2Creator.create(new LoopBytes(loop, disk), SIZE, options);
        return disk.bytes(0, (int) disk.lengthBytes());
    }

    static byte[] base() {
        byte[] base = new byte[SIZE - 5 * SECTOR];
        Guest.tag(base, 0, base.length, 7);
        return base;
    }

    @Test
    void aPlainImage() {
        Seeds.run(SEEDS, seed -> crashes(seed, image(Qcow2Options.DEFAULT.withClusterBits(12)), null, true));
    }

    @Test
    void smallClustersSoThatRefcountTablesGrow() {
        Seeds.run(
                SEEDS,
                seed -> crashes(
                        seed, image(Qcow2Options.DEFAULT.withClusterBits(9).withRefcountOrder(6)), null, true));
    }

    @Test
    void largeClusters() {
        Seeds.run(SEEDS, seed -> crashes(seed, image(Qcow2Options.DEFAULT), null, true));
    }

    @Test
    void anOverlay() {
        Seeds.run(
                SEEDS,
                seed -> crashes(
                        seed,
                        image(Qcow2Options.DEFAULT.withClusterBits(13).withBacking("base", "raw")),
                        base(),
                        true));
    }

    @Test
    void anOverlayOfVersion2() {
        Seeds.run(
                SEEDS,
                seed -> crashes(
                        seed,
                        image(Qcow2Options.DEFAULT
                                .withVersion(2)
                                .withClusterBits(12)
                                .withBacking("base", "raw")),
                        base(),
                        true));
    }

    @Test
    void anOverlayThatTakesOverWhatItLiesOver() {
        for (int bits : new int[] {9, 12, 16}) {
            Seeds.run(
                    3 * SEEDS,
                    seed -> streams(
                            seed,
                            image(Qcow2Options.DEFAULT.withClusterBits(bits).withBacking("base", "raw")),
                            base()));
        }
        Seeds.run(
                1,
                seed -> streams(
                        seed,
                        image(Qcow2Options.DEFAULT
                                .withVersion(2)
                                .withClusterBits(12)
                                .withBacking("base", "raw")),
                        base()));
    }

    @Test
    void anImageWithASnapshotAndCompressedClusters() {
        Seeds.run(SEEDS, seed -> crashes(seed, packedWithASnapshot(directory, "cluster_size=4k"), null, true));
    }

    /** As QEMU makes it. */
    static byte[] packedWithASnapshot(Path directory, String options) throws IOException {
        Path raw = Files.write(directory.resolve("raw"), Arrays.copyOf(base(), SIZE));
        Path image = directory.resolve("qcow2");
        Program.ok("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", options, raw, image);
        Program.ok("qemu-io", "-f", "qcow2", "-c", "discard 0 128k", image);
        Program.ok("qemu-img", "snapshot", "-c", "one", image);
        return Files.readAllBytes(image);
    }

    /** The canary: on a disk that does not flush, this test must fail. */
    @Test
    void aDiskThatDoesNotFlushIsFoundOut() {
        assertThatThrownBy(() -> Seeds.run(
                        SEEDS, seed -> crashes(seed, image(Qcow2Options.DEFAULT.withClusterBits(12)), null, false)))
                .isInstanceOf(AssertionError.class);
    }
}
