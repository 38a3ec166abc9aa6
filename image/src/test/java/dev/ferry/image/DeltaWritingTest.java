package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Deltas that are changed in place: what is written is there, all else shows through, and the parent stays as it is. */
class DeltaWritingTest {
    private static final int SIZE = (9 << 20) + 3 * 512;
    private static final int ROOM = 256 << 20;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(3);

    private static byte[] patches(SplittableRandom random, int size) {
        byte[] content = new byte[size];
        for (int i = 0; i < 9; i++) {
            byte[] patch = new byte[1 + random.nextInt(700_000)];
            random.nextBytes(patch);
            System.arraycopy(patch, 0, content, random.nextInt(size - patch.length), patch.length);
        }
        return content;
    }

    /** One change at random, of any bytes or of whole sectors. */
    private void change(BlockDevice device, byte[] content, SplittableRandom random) {
        int unit = random.nextInt(4) == 0 ? 1 : 512;
        int from = random.nextInt(content.length / unit) * unit;
        int most = random.nextInt(3) == 0 ? 2_000_000 : 20_000;
        int length = Math.min(content.length - from, (1 + random.nextInt(most / unit)) * unit);
        int what = random.nextInt(5);
        IoBuffer buffer = IoBuffer.allocate(length);
        if (what < 3) {
            byte[] bytes = new byte[length];
            random.nextBytes(bytes);
            buffer.copyFrom(bytes, 0, 0, length);
            System.arraycopy(bytes, 0, content, from, length);
        } else {
            Arrays.fill(content, from, from + length, (byte) 0);
        }
        int flags = random.nextInt(3) == 0 ? RequestFlags.NO_HOLE : 0;
        assertThat(OnLoop.await(loop, end -> {
                    switch (what) {
                        case 3 -> device.writeZeroes(from, length, flags, end);
                        case 4 -> device.discard(from, length, 0, end);
                        default -> device.write(from, buffer, 0, length, 0, end);
                    }
                }))
                .isNull();
    }

    private byte[] read(BlockDevice device, int size) {
        byte[] content = new byte[size];
        IoBuffer buffer = IoBuffer.allocate(size);
        for (int at = 0; at < size; at += 300_123) {
            int from = at;
            int length = Math.min(300_123, size - at);
            assertThat(OnLoop.await(loop, end -> device.read(from, buffer, from, length, end)))
                    .isNull();
        }
        buffer.copyTo(0, content, 0, size);
        return content;
    }

    /** What is called zeroes is zeroes, and all is told of. */
    private void checkExtents(BlockDevice device, byte[] content) {
        int[] at = new int[1];
        while (at[0] < content.length) {
            int from = at[0];
            ExtentSink sink = (offset, length, state) -> {
                assertThat(offset).isEqualTo(at[0]);
                at[0] += (int) length;
                if ((state & ExtentSink.ZERO) != 0) {
                    for (int i = (int) offset; i < at[0]; i++) {
                        assertThat(content[i]).as("byte " + i).isZero();
                    }
                }
            };
            assertThat(OnLoop.await(loop, end -> device.extents(from, content.length - from, sink, end)))
                    .isNull();
            assertThat(at[0]).isGreaterThan(from);
        }
    }

    @ParameterizedTest
    @EnumSource(DeltaFormat.class)
    void whatIsWrittenIsThereAndAllElseShowsThrough(DeltaFormat format) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            // The parent may be longer or shorter than the delta.
            int parentSize = SIZE + (random.nextInt(3) - 1) * 3333 * 512;
            byte[] parentContent = patches(random, parentSize);
            MemoryDisk parent = format.parent(loop, parentContent);
            byte[] parentBytes = parent.bytes(0, (int) parent.lengthBytes());
            MemoryDisk memory = MemoryDisk.growing(ROOM);
            BlockDevice file = CheckedDevice.of(memory, "delta");
            LoopBytes bytes = new LoopBytes(loop, file);
            format.create(bytes, new LoopBytes(loop, parent), "parent", SIZE);
            byte[] content = Arrays.copyOf(parentContent, SIZE);
            for (int round = 0; round < 3; round++) {
                BlockDevice device = CheckedDevice.of(
                        format.open(loop, new OpenFile(bytes, file), DeltaFormat.only(loop, parent)), "disk");
                assertThat(device.geometry().sizeBytes()).isEqualTo(SIZE);
                for (int i = 0; i < 12; i++) {
                    change(device, content, random);
                }
                assertThat(Arrays.mismatch(read(device, SIZE), content)).isEqualTo(-1);
                checkExtents(device, content);
                assertThat(OnLoop.await(loop, device::close)).isNull();
                file = CheckedDevice.of(memory, "delta");
                bytes = new LoopBytes(loop, file);
                BlockDevice reader = CheckedDevice.of(
                        format.reading(loop, new OpenFile(bytes, file), DeltaFormat.only(loop, parent)), "reader");
                assertThat(Arrays.mismatch(read(reader, SIZE), content)).isEqualTo(-1);
                checkExtents(reader, content);
                byte[] left = memory.bytes(0, (int) memory.lengthBytes());
                byte[] below = Arrays.copyOf(parentContent, SIZE);
                switch (format) {
                    case VHD ->
                        assertThat(Arrays.mismatch(BareReader.vhd(left, below), content))
                                .isEqualTo(-1);
                    case VHDX ->
                        assertThat(Arrays.mismatch(BareReader.vhdx(left, below), content))
                                .isEqualTo(-1);
                    // QEMU reads those.
                    case VMDK, VMDK_ZERO_GRAINS -> {}
                }
            }
            assertThat(parent.bytes(0, (int) parent.lengthBytes())).isEqualTo(parentBytes);
        });
    }

    /** As a guest does that makes a file system on a disk that is mostly empty. */
    @ParameterizedTest
    @EnumSource(DeltaFormat.class)
    void zeroesOverZeroesTakeNoRoom(DeltaFormat format) throws Exception {
        int size = 24 << 20;
        byte[] content = new byte[size];
        Arrays.fill(content, 5 << 20, (5 << 20) + 4096, (byte) 3);
        MemoryDisk parent = format.parent(loop, content);
        MemoryDisk memory = MemoryDisk.growing(ROOM);
        BlockDevice file = CheckedDevice.of(memory, "delta");
        LoopBytes bytes = new LoopBytes(loop, file);
        format.create(bytes, new LoopBytes(loop, parent), "parent", size);
        long empty = memory.lengthBytes();
        BlockDevice device =
                CheckedDevice.of(format.open(loop, new OpenFile(bytes, file), DeltaFormat.only(loop, parent)), "disk");
        assertThat(OnLoop.await(loop, end -> device.discard(0, size, 0, end))).isNull();
        assertThat(read(device, size)).isEqualTo(new byte[size]);
        assertThat(OnLoop.await(loop, device::close)).isNull();
        // What the parent has lies in one of its grains or blocks.
        assertThat(memory.lengthBytes() - empty).isLessThan(12 << 20);
    }

    /** Many at once, on the same grains and on others. */
    @ParameterizedTest
    @EnumSource(DeltaFormat.class)
    void requestsInFlightTogetherLoseNothingOfEachOther(DeltaFormat format) throws Exception {
        int size = 5 << 20;
        byte[] content = patches(new SplittableRandom(11), size);
        MemoryDisk parent = format.parent(loop, content);
        MemoryDisk made = MemoryDisk.growing(ROOM);
        format.create(new LoopBytes(loop, made), new LoopBytes(loop, parent), "parent", size);
        CrashDisk late = new CrashDisk(loop, 5, 96 << 20, true);
        late.fill(made.bytes(0, (int) made.lengthBytes()));
        BlockDevice file = CheckedDevice.of(late, "late");
        BlockDevice device = CheckedDevice.of(
                format.open(loop, new OpenFile(new LoopBytes(loop, file), file), DeltaFormat.only(loop, parent)),
                "disk");
        int[] left = new int[1];
        for (int i = 0; i < 200; i++) {
            int at = i % 2 == 0 ? i * 1024 : size - (i + 1) * 7 * 512;
            Arrays.fill(content, at, at + 512, (byte) (i % 5 == 0 ? 0 : i));
            IoBuffer buffer = IoBuffer.allocate(512);
            buffer.copyFrom(content, at, 0, 512);
            left[0]++;
            if (i % 5 == 0) {
                device.writeZeroes(at, 512, 0, error -> left[0] -= error == null ? 1 : 0);
            } else {
                device.write(at, buffer, 0, 512, 0, error -> left[0] -= error == null ? 1 : 0);
            }
        }
        assertThat(loop.runUntil(() -> left[0] == 0, Long.MAX_VALUE)).isTrue();
        assertThat(Arrays.mismatch(read(device, size), content)).isEqualTo(-1);
        assertThat(OnLoop.await(loop, device::close)).isNull();
    }

    // ---- with QEMU, which reads and writes deltas of VMDK

    private Path file(String name) {
        return directory.resolve(name);
    }

    private BlockDevice open(Path path) throws BlockException {
        OpenFile first = ForeignDisk.file(loop, path);
        return CheckedDevice.of(
                DeltaFormat.VMDK.open(loop, first, name -> ForeignDisk.file(loop, path.resolveSibling(name))), "delta");
    }

    private void create(Path path, Path parent) throws IOException, BlockException {
        Files.deleteIfExists(path);
        BlockDevice made = CheckedDevice.of(new ChannelDisk(path), "made");
        OpenFile below = ForeignDisk.file(loop, parent);
        DeltaFormat.VMDK.create(
                new LoopBytes(loop, made), below.bytes(), parent.getFileName().toString(), SIZE);
        assertThat(OnLoop.await(loop, made::close)).isNull();
        assertThat(OnLoop.await(loop, below.device()::close)).isNull();
    }

    @ParameterizedTest
    @CsvSource({
        "monolithicSparse, ours",
        "monolithicFlat, ours",
        "streamOptimized, zeroed_grain=on",
        "twoGbMaxExtentSparse, subformat=monolithicSparse"
    })
    void byTurnsWithQemuOnOneChain(String base, String made) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] content = patches(random, SIZE);
            Path raw = Files.write(file("content.raw"), content);
            Path parent = file("base.vmdk");
            Program.ok("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=" + base, raw, parent);
            for (String name : new String[] {"one.vmdk", "two.vmdk"}) {
                Path delta = file(name);
                if (made.equals("ours")) {
                    create(delta, parent);
                } else {
                    Program.ok("qemu-img", "create", "-f", "vmdk", "-o", made, "-b", parent, "-F", "vmdk", delta);
                }
                byte[] parentBytes = Files.readAllBytes(parent);
                for (int round = 0; round < 2; round++) {
                    BlockDevice device = open(delta);
                    for (int i = 0; i < 8; i++) {
                        change(device, content, random);
                    }
                    assertThat(OnLoop.await(loop, device::close)).isNull();
                    Files.write(raw, content);
                    Program.ok("qemu-img", "check", "-f", "vmdk", delta);
                    Program.ok("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, delta);
                    int at = random.nextInt(SIZE / 512 - 900) * 512;
                    Arrays.fill(content, at, at + 900 * 512, (byte) (round + 5));
                    String write = "write -P " + (round + 5) + " " + at + " " + 900 * 512;
                    Program.ok("qemu-io", "-f", "vmdk", "-c", write, delta);
                    ForeignDisk disk = ForeignDisk.vmdk(loop, delta);
                    assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
                    disk.close();
                }
                assertThat(Files.readAllBytes(parent)).isEqualTo(parentBytes);
                parent = delta;
            }
        });
    }

    @Test
    void aDeltaThatIsWrittenToHasAnotherContentIdAndItsParentHasNot() throws Exception {
        Path base = file("base.vmdk");
        Program.ok("qemu-img", "create", "-f", "vmdk", base, String.valueOf(SIZE));
        create(file("one.vmdk"), base);
        create(file("two.vmdk"), file("one.vmdk"));
        open(file("two.vmdk")).close(error -> assertThat(error).isNull());
        // 0x2345bcde
        assertThat(Program.ok("qemu-img", "info", "-f", "vmdk", file("one.vmdk")))
                .contains("cid: 591772894");
        BlockDevice one = open(file("one.vmdk"));
        assertThat(OnLoop.await(loop, end -> one.write(0, IoBuffer.allocate(512), 0, 512, 0, end)))
                .isNull();
        assertThat(OnLoop.await(loop, one::close)).isNull();
        // 0x6789def0
        assertThat(Program.ok("qemu-img", "info", "-f", "vmdk", file("one.vmdk")))
                .contains("cid: 1737088752");
        assertThatThrownBy(() -> open(file("two.vmdk"))).hasMessageContaining("written to since");
        open(file("one.vmdk")).close(error -> assertThat(error).isNull());
    }

    @Test
    void zeroesTakeNoRoomWhereATableCanSayThem() throws Exception {
        Path base = file("base.vmdk");
        byte[] content = new byte[SIZE];
        Arrays.fill(content, (byte) 7);
        Path raw = Files.write(file("content.raw"), content);
        Program.ok("qemu-img", "convert", "-f", "raw", "-O", "vmdk", raw, base);
        Path delta = file("one.vmdk");
        Program.ok("qemu-img", "create", "-f", "vmdk", "-o", "zeroed_grain=on", "-b", base, "-F", "vmdk", delta);
        long empty = Files.size(delta);
        BlockDevice device = open(delta);
        assertThat(OnLoop.await(loop, end -> device.discard(0, SIZE, 0, end))).isNull();
        assertThat(OnLoop.await(loop, device::close)).isNull();
        assertThat(Files.size(delta)).isEqualTo(empty);
        Files.write(raw, new byte[SIZE]);
        Program.ok("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, delta);
    }
}
