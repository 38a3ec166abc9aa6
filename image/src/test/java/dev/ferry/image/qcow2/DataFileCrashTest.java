package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.CrashDisk;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What {@link CrashTest} shows, of images whose data is in another file: any part of either that no flush has followed may be lost. */
class DataFileCrashTest {
    /** Bytes that were in the data file before, where the image says that there is nothing. */
    private static final byte STALE = 0x55;

    static Stream<Qcow2Options> variants() {
        Qcow2Options usual = Qcow2Options.DEFAULT.withClusterBits(13);
        return Stream.of(
                usual.withData("data", false),
                usual.withData("data", true),
                Qcow2Options.DEFAULT.withData("data", false),
                usual.withBacking("base", "raw").withData("data", false),
                usual.withExtendedL2().withClusterBits(14).withData("data", false),
                usual.withExtendedL2().withClusterBits(16).withData("data", true),
                usual.withExtendedL2().withBacking("base", "raw").withData("data", false));
    }

    @ParameterizedTest
    @MethodSource("variants")
    void whatWasFlushedIsThereAndTheImageIsSound(Qcow2Options options) {
        Seeds.run(seed -> crashes(seed, options));
    }

    private static Qcow2Device opened(
            SimLoop loop, BlockDevice file, BlockDevice data, byte @Nullable [] base, boolean readOnly)
            throws Exception {
        LoopBytes bytes = new LoopBytes(loop, file);
        return new Qcow2Device(
                loop,
                file,
                data,
                readOnly ? Qcow2Image.openReadOnly(bytes) : Qcow2Image.openForWriting(bytes),
                CrashTest.below(base),
                BufferPool.ofBytes(8 << 20),
                loop,
                new Qcow2Settings(0, false, 1, CrashTest.RESERVE_BYTES));
    }

    private static BlockDevice memory(byte[] content) {
        MemoryDisk disk = MemoryDisk.growing(CrashTest.ROOM);
        disk.fill(0, content);
        return CheckedDevice.of(disk, "left");
    }

    private static byte[] contentOf(byte[] file, byte[] data, byte @Nullable [] base, boolean raw) throws Exception {
        SimLoop loop = new SimLoop(1);
        BlockDevice left = memory(file);
        CheckReport report = Qcow2Checker.check(new LoopBytes(loop, left), Qcow2Checker.Repair.NONE);
        assertThat(report.corruptions()).as(report.firstFinding()).isZero();
        Qcow2Device device = opened(loop, left, memory(data), base, true);
        IoBuffer whole = IoBuffer.allocate(CrashTest.SIZE);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, CrashTest.SIZE, end)))
                .isNull();
        byte[] content = new byte[CrashTest.SIZE];
        whole.copyTo(0, content, 0, content.length);
        if (raw) {
            assertThat(content).isEqualTo(data);
        }
        return content;
    }

    private static void crashes(long seed, Qcow2Options options) throws Exception {
        byte[] file = CrashTest.image(options);
        byte[] data = new byte[CrashTest.SIZE];
        if (!options.mapped()) {
            Arrays.fill(data, STALE);
        }
        byte[] base = options.backingName() == null ? null : CrashTest.base();
        SimLoop loop = new SimLoop(seed);
        SplittableRandom chance = new SplittableRandom(seed);
        CrashDisk disk = new CrashDisk(loop, seed, CrashTest.ROOM, true);
        disk.fill(file);
        CrashDisk store = new CrashDisk(loop, seed + 1, CrashTest.ROOM, true);
        store.fill(data);
        BlockDevice device = CheckedDevice.of(
                opened(loop, CheckedDevice.of(disk, "crashing"), CheckedDevice.of(store, "data"), base, false),
                "image");
        boolean raw = options.dataRaw();
        CrashTest.Guest guest = new CrashTest.Guest(loop, seed, contentOf(file, data, base, raw));
        for (int batch = 0; batch < 30; batch++) {
            guest.batch(device);
            for (int point = 0; point < 5; point++) {
                loop.runFor(chance.nextInt(2500));
                boolean processOnly = chance.nextInt(3) == 0;
                byte[] left = disk.afterCrash(chance, processOnly);
                guest.verify(contentOf(left, store.afterCrash(chance, processOnly), base, raw), processOnly);
            }
            guest.await();
        }
        assertThat(OnLoop.await(loop, device::close)).isNull();
        byte[] left = disk.afterCrash(chance, true);
        guest.verify(contentOf(left, store.afterCrash(chance, true), base, raw), true);
    }
}
