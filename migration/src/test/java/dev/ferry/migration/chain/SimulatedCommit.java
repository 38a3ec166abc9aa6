package dev.ferry.migration.chain;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.image.FileBytes;
import dev.ferry.image.qcow2.CheckReport;
import dev.ferry.image.qcow2.Qcow2Checker;
import dev.ferry.image.qcow2.Qcow2Creator;
import dev.ferry.image.qcow2.Qcow2Device;
import dev.ferry.image.qcow2.Qcow2Image;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Settings;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimDisk;
import dev.ferry.testkit.SimLoop;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Consumer;

/**
 * An overlay that is committed into its base while a guest works and the power goes again and again, on disks that lose and tear what was
 * not flushed. Each time the chain is opened anew and must hold what the guest may find; in the end the base alone must.
 */
final class SimulatedCommit {
    private static final int SECTOR = 512;
    private static final int SIZE = 1 << 20;
    private static final int SECTORS = SIZE / SECTOR;
    private static final int ROOM = 64 << 20;
    private static final long LATENCY_NANOS = 50_000;
    private static final long RESERVE_BYTES = 64 << 10;
    private static final int LIVES = 4;
    private static final long NANOS_MAX = 600_000_000_000L;
    private static final int REGION_BYTES = 64 << 10;

    private final SplittableRandom random;
    private final long seed;
    private final List<Set<Long>> possible = new ArrayList<>();
    private final long[] acknowledged = new long[SECTORS];
    private long tag = 1;
    /** The canary: the commit writes to the base where nothing of the overlay hides it. */
    private final boolean bug;

    private byte[] topBytes = new byte[0];
    private byte[] baseBytes = new byte[SIZE];

    private SimulatedCommit(long seed, boolean bug) {
        this.seed = seed;
        this.bug = bug;
        this.random = new SplittableRandom(seed);
    }

    static void run(long seed, boolean bug) throws BlockException {
        new SimulatedCommit(seed, bug).run();
    }

    private record Bytes(SimLoop loop, BlockDevice device) implements FileBytes {
        private void await(Consumer<Completion> request) throws BlockException {
            BlockError error = OnLoop.await(loop, request);
            if (error != null) {
                throw error.toException();
            }
        }

        @Override
        public String name() {
            return "top";
        }

        @Override
        public long lengthBytes() {
            return device.lengthBytes();
        }

        @Override
        public void read(long offset, byte[] into, int at, int length) throws BlockException {
            Arrays.fill(into, at, at + length, (byte) 0);
            int there = Math.clamp(device.lengthBytes() - offset, 0, length);
            if (there > 0) {
                IoBuffer buffer = IoBuffer.allocate(there);
                await(end -> device.read(offset, buffer, 0, there, end));
                buffer.copyTo(0, into, at, there);
            }
        }

        @Override
        public void write(long offset, byte[] from, int at, int length) throws BlockException {
            IoBuffer buffer = IoBuffer.allocate(length);
            buffer.copyFrom(from, at, 0, length);
            await(end -> device.write(offset, buffer, 0, length, 0, end));
        }

        @Override
        public void resize(long lengthBytes) throws BlockException {
            await(end -> device.resize(lengthBytes, end));
        }

        @Override
        public void flush() throws BlockException {
            await(device::flush);
        }
    }

    /** The chain between one loss of power and the next. */
    private final class Life {
        private final SimLoop loop;
        private final SimDisk top;
        private final SimDisk base;
        private final BlockDevice topFile;
        private final BlockDevice below;
        private int busy;

        Life(int number) {
            loop = new SimLoop(seed + number);
            top = SimDisk.growing("top", loop, seed + 10 + number, ROOM, LATENCY_NANOS);
            base = new SimDisk("base", loop, seed + 20 + number, Geometry.ofBytes(SIZE), LATENCY_NANOS);
            topFile = CheckedDevice.of(top, "top");
            below = CheckedDevice.of(base, "base");
            if (topBytes.length > 0) {
                top.fill(0, topBytes);
            }
            base.fill(0, baseBytes);
        }

        Qcow2Device open() throws BlockException {
            Bytes bytes = new Bytes(loop, topFile);
            CheckReport report = Qcow2Checker.check(bytes, Qcow2Checker.Repair.NONE);
            assertThat(report.corruptions()).as(report.firstFinding()).isZero();
            return new Qcow2Device(
                    loop,
                    topFile,
                    Qcow2Image.openForWriting(bytes),
                    below,
                    BufferPool.ofBytes(16 << 20),
                    loop,
                    new Qcow2Settings(0, false, 1, RESERVE_BYTES));
        }

        void powerGoes() {
            top.losePower();
            base.losePower();
            keep();
        }

        void keep() {
            topBytes = top.bytes(0, (int) top.lengthBytes());
            baseBytes = base.bytes(0, SIZE);
        }

        byte[] content(BlockDevice device) {
            IoBuffer whole = IoBuffer.allocate(SIZE);
            assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, SIZE, end)))
                    .isNull();
            byte[] bytes = new byte[SIZE];
            whole.copyTo(0, bytes, 0, SIZE);
            return bytes;
        }

        /** A guest that asks for something new when it has had an answer. */
        void work(BlockDevice disk, int requests) {
            int[] left = {requests};
            for (int i = 0; i < 4; i++) {
                busy++;
                next(disk, left);
            }
        }

        private void next(BlockDevice disk, int[] left) {
            if (left[0]-- <= 0) {
                busy--;
                return;
            }
            var _ = loop.schedule(random.nextInt(300_000), () -> {
                if (random.nextInt(8) == 0) {
                    flush(disk, left);
                } else {
                    change(disk, left);
                }
            });
        }

        private void change(BlockDevice disk, int[] left) {
            int from = random.nextInt(SECTORS);
            int to = Math.min(SECTORS, from + 1 + random.nextInt(random.nextInt(12) == 0 ? 100 : 12));
            int how = random.nextInt(4);
            long value = how < 2 ? 0 : tag++;
            for (int i = from; i < to; i++) {
                possible.get(i).add(value);
            }
            Completion done = error -> {
                assertThat(error).isNull();
                for (int i = from; i < to; i++) {
                    acknowledged[i] = value;
                    // Another that overlaps this one comes after it, and is not acknowledged yet.
                }
                next(disk, left);
            };
            long offset = (long) from * SECTOR;
            int length = (to - from) * SECTOR;
            if (how == 0) {
                disk.discard(offset, length, 0, done);
            } else if (how == 1) {
                disk.writeZeroes(offset, length, 0, done);
            } else {
                byte[] bytes = new byte[length];
                fill(bytes, 0, length, value);
                IoBuffer buffer = IoBuffer.allocate(length);
                buffer.copyFrom(bytes, 0, 0, length);
                disk.write(offset, buffer, 0, length, 0, done);
            }
        }

        private void flush(BlockDevice disk, int[] left) {
            long[] before = acknowledged.clone();
            List<Set<Long>> unsure = new ArrayList<>();
            for (int i = 0; i < SECTORS; i++) {
                unsure.add(Set.copyOf(possible.get(i)));
            }
            disk.flush(error -> {
                assertThat(error).isNull();
                for (int i = 0; i < SECTORS; i++) {
                    // What was acknowledged before it is durable, and nothing older comes back; what was under way, or
                    // came
                    // since, may be there or not.
                    Set<Long> now = new HashSet<>(possible.get(i));
                    for (long old : unsure.get(i)) {
                        // Zeroes may be of any time.
                        if (old != 0 && old < before[i] && acknowledged[i] == before[i]) {
                            now.remove(old);
                        }
                    }
                    possible.set(i, now);
                }
                next(disk, left);
            });
        }
    }

    private static void fill(byte[] bytes, int from, int to, long value) {
        ByteBuffer words = ByteBuffer.wrap(bytes);
        for (int at = from; at < to; at += Long.BYTES) {
            words.putLong(at, value);
        }
    }

    private void found(byte[] content) {
        ByteBuffer words = ByteBuffer.wrap(content);
        for (int i = 0; i < SECTORS; i++) {
            long value = words.getLong(i * SECTOR);
            for (int at = 8; at < SECTOR; at += 8) {
                if (words.getLong(i * SECTOR + at) != value) {
                    throw new AssertionError("sector " + i + " is torn");
                }
            }
            if (!possible.get(i).contains(value)) {
                throw new AssertionError("sector " + i + " is " + value + ", not one of " + possible.get(i));
            }
            acknowledged[i] = value;
            possible.set(i, new HashSet<>(Set.of(value)));
        }
    }

    private void run() throws BlockException {
        for (int i = 0; i < SECTORS; i++) {
            long value = i % 40 < 10 ? 0 : tag++;
            fill(baseBytes, i * SECTOR, (i + 1) * SECTOR, value);
            possible.add(new HashSet<>(Set.of(value)));
            acknowledged[i] = value;
        }
        Life making = new Life(0);
        // Small enough that much of the base shows through.
        int bits = 12 + random.nextInt(2);
        Qcow2Creator.create(
                new Bytes(making.loop, making.topFile),
                SIZE,
                Qcow2Options.DEFAULT.withClusterBits(bits).withBacking("base", "raw"));
        Qcow2Device made = making.open();
        Gate gate = new Gate(making.loop, CheckedDevice.of(made, "made"));
        making.work(gate, 12);
        assertThat(making.loop.runUntil(() -> making.busy == 0, NANOS_MAX)).isTrue();
        assertThat(OnLoop.await(making.loop, gate::flush)).isNull();
        making.keep();
        for (int i = 0; i < SECTORS; i++) {
            possible.set(i, new HashSet<>(Set.of(acknowledged[i])));
        }
        for (int number = 1; number <= LIVES; number++) {
            live(new Life(number), number == LIVES);
        }
    }

    private void live(Life life, boolean last) throws BlockException {
        Qcow2Device overlay = life.open();
        BlockDevice view = CheckedDevice.of(overlay, "view");
        found(life.content(view));
        DirtyBitmap held = new DirtyBitmap(SIZE, REGION_BYTES);
        ExtentSink sink = (offset, length, state) -> {
            if (state != ExtentSink.HOLE) {
                held.set(offset, length);
            }
        };
        assertThat(OnLoop.await(life.loop, end -> overlay.ownExtents(0, SIZE, sink, end)))
                .isNull();
        MirrorSettings settings = new MirrorSettings(REGION_BYTES, Long.MAX_VALUE / 4, false);
        Mirror mirror = new Mirror(life.loop, view, life.below, settings, why -> {
            throw new AssertionError(why.message());
        });
        for (long region = 0; region < mirror.regions(); region++) {
            if (!held.isDirty(mirror.regionOffset(region), mirror.regionLength(region))) {
                mirror.inStep(region);
            }
        }
        Gate gate = new Gate(life.loop, bug ? new BaseFirst(mirror, life.below, life.loop) : mirror);
        boolean[] copied = {false};
        Copier copier =
                new Copier(life.loop, mirror, BufferPool.ofBytes(16 << 20), new CopierSettings(4, 64 << 10, 64 << 20));
        life.work(gate, 80);
        copier.start(error -> {
            assertThat(error).isNull();
            copied[0] = true;
        });
        if (!last) {
            life.loop.runFor(1 + random.nextInt(20_000_000));
            life.powerGoes();
            return;
        }
        assertThat(life.loop.runUntil(() -> copied[0] && life.busy == 0, NANOS_MAX))
                .isTrue();
        assertThat(OnLoop.await(life.loop, mirror::settle)).isNull();
        life.powerGoes();
        // Decided: what is durable of the base is the disk.
        for (int i = 0; i < SECTORS; i++) {
            possible.set(i, new HashSet<>(Set.of(acknowledged[i])));
        }
        found(baseBytes);
    }
}
