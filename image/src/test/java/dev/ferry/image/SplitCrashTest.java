package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.image.vmdk.WritableVmdk;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A crash at any point while a VMDK disk in several files is written, all of which stop at the same instant: the disk opens, what was
 * flushed is there in whichever file it lies, and a check finds no more than copies of tables that are behind.
 */
class SplitCrashTest {
    private static final int ROOM = 48 << 20;
    private static final int[] PARTS = {2 << 20, 1 << 20, (2 << 20) + 512};
    private static final int SIZE = PARTS[0] + PARTS[1] + PARTS[2];
    private static final String TEXT = "disk.vmdk";

    private static VmdkText text(VmdkKind kind) {
        return new VmdkText(
                kind,
                List.of(
                        new VmdkText.Part("one.vmdk", PARTS[0]),
                        new VmdkText.Part("two.vmdk", PARTS[1]),
                        new VmdkText.Part("three.vmdk", PARTS[2])),
                0x1234abcd);
    }

    private static Map<String, byte[]> made(VmdkKind kind) throws BlockException {
        Map<String, byte[]> files = new LinkedHashMap<>();
        files.put(TEXT, text(kind).write().getBytes(StandardCharsets.UTF_8));
        for (VmdkText.Part part : text(kind).parts()) {
            MemoryDisk disk = MemoryDisk.growing(ROOM);
            LoopBytes bytes = new LoopBytes(new SimLoop(1), disk);
            if (kind.flat()) {
                bytes.resize(part.sizeBytes());
            } else {
                VmdkWriter.ofExtent(bytes, part.sizeBytes()).finishEmpty();
            }
            files.put(part.name(), disk.bytes(0, (int) disk.lengthBytes()));
        }
        return files;
    }

    /** Files by their names, to be read and written. */
    private record Folder(SimLoop loop, Map<String, ? extends BlockDevice> files) implements Neighbours {
        @Override
        public OpenFile open(String name) {
            BlockDevice file = CheckedDevice.of(Objects.requireNonNull(files.get(name)), name);
            return new OpenFile(new LoopBytes(loop, file), file);
        }

        @Override
        public OpenFile openForWriting(String name, boolean grows) {
            return open(name);
        }
    }

    private static Map<String, byte[]> afterCrash(
            Map<String, CrashDisk> disks, SplittableRandom chance, boolean processOnly) {
        Map<String, byte[]> left = new LinkedHashMap<>();
        disks.forEach((name, disk) -> left.put(name, disk.afterCrash(chance, processOnly)));
        return left;
    }

    private static byte[] contentOf(Map<String, byte[]> left, boolean write) throws BlockException {
        SimLoop loop = new SimLoop(1);
        Map<String, MemoryDisk> files = new LinkedHashMap<>();
        left.forEach((name, bytes) -> files.put(name, CrashDisk.restored(bytes, 2 * ROOM)));
        Folder folder = new Folder(loop, files);
        Census census = VmdkImage.check(folder.open(TEXT).bytes(), folder, closed -> {});
        assertThat(census.corruptions())
                .as(String.join("\n", census.findings()))
                .isZero();
        BlockDevice device = CheckedDevice.of(
                write
                        ? WritableVmdk.open(folder.open(TEXT), loop, loop, folder, 0x789abcde)
                        : VmdkImage.open(folder.open(TEXT), loop, loop, folder),
                "left");
        IoBuffer whole = IoBuffer.allocate(SIZE);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, SIZE, end)))
                .isNull();
        if (write) {
            assertThat(OnLoop.await(loop, end -> device.write(0, whole, 0, SIZE, 0, end)))
                    .isNull();
            assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, SIZE, end)))
                    .isNull();
        }
        byte[] content = new byte[SIZE];
        whole.copyTo(0, content, 0, SIZE);
        return content;
    }

    private static void crashes(VmdkKind kind, long seed, boolean flushes) throws Exception {
        SimLoop loop = new SimLoop(seed);
        SplittableRandom chance = new SplittableRandom(seed);
        Map<String, CrashDisk> disks = new LinkedHashMap<>();
        made(kind).forEach((name, bytes) -> {
            CrashDisk disk = new CrashDisk(loop, seed + name.length(), ROOM, flushes);
            disk.fill(bytes);
            disks.put(name, disk);
        });
        Folder folder = new Folder(loop, disks);
        BlockDevice device =
                CheckedDevice.of(WritableVmdk.open(folder.open(TEXT), loop, loop, folder, 0x5678cdef), "disk");
        CrashGuest guest = new CrashGuest(loop, seed, new byte[SIZE]);
        for (int batch = 0; batch < 8; batch++) {
            guest.batch(device);
            for (int point = 0; point < 2; point++) {
                loop.runFor(chance.nextInt(4000));
                boolean processOnly = chance.nextInt(3) == 0;
                guest.verify(contentOf(afterCrash(disks, chance, processOnly), chance.nextInt(4) == 0), processOnly);
            }
            if (chance.nextInt(3) == 0) {
                guest.flush(device);
            }
        }
        guest.flush(device);
        boolean[] ended = new boolean[1];
        device.close(error -> {
            assertThat(error).isNull();
            ended[0] = true;
        });
        while (!ended[0]) {
            guest.verify(contentOf(afterCrash(disks, chance, false), false), false);
            loop.runFor(chance.nextInt(2000));
        }
        guest.verify(contentOf(afterCrash(disks, chance, true), false), true);
    }

    @ParameterizedTest
    @EnumSource(
            value = VmdkKind.class,
            names = {"TWO_GB_SPARSE", "TWO_GB_FLAT"})
    void aCrashAtAnyPoint(VmdkKind kind) {
        Seeds.run(2, seed -> crashes(kind, seed, true));
    }

    /** The canary: on disks that do not flush, this test must fail. */
    @ParameterizedTest
    @EnumSource(
            value = VmdkKind.class,
            names = {"TWO_GB_SPARSE", "TWO_GB_FLAT"})
    void disksThatDoNotFlushAreFoundOut(VmdkKind kind) {
        assertThatThrownBy(() -> Seeds.run(4, seed -> crashes(kind, seed, false)))
                .isInstanceOf(AssertionError.class);
    }
}
