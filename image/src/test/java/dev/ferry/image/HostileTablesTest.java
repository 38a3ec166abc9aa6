package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Headers, footers and tables of VMDK and VHD that mean ill, one by one, each with what comes of it. */
class HostileTablesTest {
    private static final int SIZE = 24 * 16 * 63 * 512;
    private static final int SECTOR = 512;

    // Of the header of a VMDK file, and of its copy at the end.
    private static final int CAPACITY = 12;
    private static final int GRAIN = 20;
    private static final int TABLE_ENTRIES = 44;
    private static final int DIRECTORY = 56;

    // Of a VHD file that QEMU makes: footer, header, table.
    private static final int VHD_HEADER = 512;
    private static final int VHD_TABLE = 1536;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(1);
    private byte[] content = new byte[0];

    @BeforeEach
    void fill() {
        content = new byte[SIZE];
        new Random(8).nextBytes(content);
        Arrays.fill(content, SIZE / 2, SIZE, (byte) 0);
        content[SIZE - 1] = 1;
    }

    private byte[] made(String format, String options) throws IOException {
        Path raw = Files.write(directory.resolve("raw"), content);
        Path image = directory.resolve("made");
        Program.ok("qemu-img", "convert", "-f", "raw", "-O", format, "-o", options, raw, image);
        return Files.readAllBytes(image);
    }

    private ForeignDisk open(String format, byte[] image) throws IOException, BlockException {
        return ForeignDisk.of(format, loop, Files.write(directory.resolve("hostile"), image));
    }

    private void refused(String format, byte[] image, String words) {
        assertThatThrownBy(() -> open(format, image))
                .isInstanceOfSatisfying(
                        BlockException.class, e -> assertThat(e.kind()).isEqualTo(ErrorKind.CORRUPT))
                .hasMessageContaining(words);
    }

    private @Nullable ErrorKind read(ForeignDisk disk, long at) {
        IoBuffer buffer = IoBuffer.allocate(SECTOR);
        BlockError error = OnLoop.await(loop, end -> disk.device.read(at, buffer, 0, SECTOR, end));
        return error == null ? null : error.kind();
    }

    private static ByteBuffer little(byte[] image) {
        return ByteBuffer.wrap(image).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static int u32(byte[] image, int at) {
        return little(image).getInt(at);
    }

    // ---- VMDK

    /** Compressed, with its directory at the end and a copy of its header behind that. */
    private byte[] stream() throws Exception {
        Path image = directory.resolve("stream.vmdk");
        Files.deleteIfExists(image);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(image), "file");
        LoopBytes bytes = new LoopBytes(loop, file);
        OnePass.write(
                bytes, new VmdkWriter(bytes, new VmdkText(VmdkKind.STREAM_OPTIMIZED, "stream.vmdk", SIZE, 7)), content);
        assertThat(OnLoop.await(loop, file::close)).isNull();
        return Files.readAllBytes(image);
    }

    @ParameterizedTest
    @CsvSource({
        CAPACITY + ", 0, capacity",
        CAPACITY + ", -1, capacity",
        CAPACITY + ", 9223372036854775807, capacity",
        CAPACITY + ", 1099511627776, ''",
        GRAIN + ", 0, grain size",
        GRAIN + ", 3, grain size",
        GRAIN + ", -1, grain size",
        TABLE_ENTRIES + ", 0, tables",
        TABLE_ENTRIES + ", 1000, tables",
        TABLE_ENTRIES + ", -1, tables",
        DIRECTORY + ", 1152921504606846976, ''",
        DIRECTORY + ", -2, ''"
    })
    void aDirectoryThatCannotBeIsRefused(int field, long value, String words) throws Exception {
        byte[] image = made("vmdk", "subformat=monolithicSparse");
        if (field == TABLE_ENTRIES) {
            little(image).putInt(field, (int) value);
        } else {
            little(image).putLong(field, value);
        }
        refused("vmdk", image, words);
    }

    @ParameterizedTest
    @ValueSource(ints = {1 << 30, -1, Integer.MAX_VALUE})
    void aGrainOrATablePastTheEndIsCorrupt(int sector) throws Exception {
        byte[] sound = made("vmdk", "subformat=monolithicSparse");
        int directory = (int) little(sound).getLong(DIRECTORY) * SECTOR;
        int table = u32(sound, directory) * SECTOR;
        byte[] grain = sound.clone();
        little(grain).putInt(table, sector);
        ForeignDisk disk = open("vmdk", grain);
        assertThat(read(disk, 0)).isEqualTo(ErrorKind.CORRUPT);
        assertThat(read(disk, 64 << 10)).as("the next one").isNull();
        disk.close();
        byte[] whole = sound.clone();
        little(whole).putInt(directory, sector);
        try {
            ForeignDisk tables = open("vmdk", whole);
            assertThat(read(tables, 0)).isEqualTo(ErrorKind.CORRUPT);
            tables.close();
        } catch (BlockException atOnce) {
            assertThat(atOnce.kind()).isEqualTo(ErrorKind.CORRUPT);
        }
    }

    /** The place that a marker says has to be the one that it was looked for at. */
    @Test
    void markersOutOfOrderAreCorruption() throws Exception {
        byte[] image = stream();
        ByteBuffer fields = little(image);
        int footer = image.length - 1024;
        int directory = (int) fields.getLong(footer + DIRECTORY) * SECTOR;
        int table = fields.getInt(directory) * SECTOR;
        int first = fields.getInt(table);
        fields.putInt(table, fields.getInt(table + 4)).putInt(table + 4, first);
        ForeignDisk disk = open("vmdk", image);
        assertThat(read(disk, 0)).isEqualTo(ErrorKind.CORRUPT);
        assertThat(read(disk, 64 << 10)).isEqualTo(ErrorKind.CORRUPT);
        assertThat(read(disk, 128 << 10)).isNull();
        disk.close();
        // A length that goes past the file, and none.
        for (int length : new int[] {Integer.MAX_VALUE, -1, 0}) {
            byte[] long_ = stream();
            little(long_).putInt(first * SECTOR + 8, length);
            ForeignDisk other = open("vmdk", long_);
            assertThat(read(other, 0)).isEqualTo(ErrorKind.CORRUPT);
            other.close();
        }
    }

    /** The copy of the header at the end is what counts, as for QEMU; without one that is sound there is no disk. */
    @Test
    void theFooterCountsAndIsHeldToTheSameBounds() throws Exception {
        byte[] sound = stream();
        int footer = sound.length - 1024;
        for (int field : new int[] {CAPACITY, GRAIN, DIRECTORY}) {
            byte[] image = sound.clone();
            little(image).putLong(footer + field, -5);
            refused("vmdk", image, "");
        }
        byte[] none = sound.clone();
        none[footer] ^= 1;
        refused("vmdk", none, "");
        refused("vmdk", Arrays.copyOf(sound, sound.length - SECTOR), "");
        byte[] other = sound.clone();
        little(other).putLong(CAPACITY, SIZE / SECTOR / 2);
        Path image = Files.write(directory.resolve("hostile"), other);
        assertThat(Program.ok("qemu-img", "info", "--output=json", "-f", "vmdk", image))
                .contains("\"virtual-size\": " + SIZE);
        ForeignDisk disk = ForeignDisk.vmdk(loop, image);
        assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
        disk.close();
    }

    // ---- VHD

    private static void sum(byte[] image, int at, int length, int place) {
        ByteBuffer.wrap(image).putInt(at + place, 0);
        int sum = 0;
        for (int i = at; i < at + length; i++) {
            sum += image[i] & 0xff;
        }
        ByteBuffer.wrap(image).putInt(at + place, ~sum);
    }

    private static void sumHeader(byte[] image) {
        sum(image, VHD_HEADER, 1024, 36);
    }

    @Test
    void theCopyOfTheFooterIsReadWhereItIsDamagedAndNothingWithoutEither() throws Exception {
        byte[] sound = made("vpc", "subformat=dynamic,force_size=on");
        int footer = sound.length - SECTOR;
        for (int damage : new int[] {0, 40, 64, 100, 511}) {
            byte[] image = sound.clone();
            image[footer + damage] ^= 1;
            ForeignDisk disk = open("vpc", image);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            disk.close();
            image[damage] ^= 1;
            assertThatThrownBy(() -> open("vpc", image)).isInstanceOf(BlockException.class);
        }
        // A copy that says something else does not count where the footer is sound.
        byte[] other = sound.clone();
        ByteBuffer.wrap(other).putLong(48, SIZE / 2);
        sum(other, 0, SECTOR, 64);
        ForeignDisk disk = open("vpc", other);
        assertThat(disk.device.geometry().sizeBytes()).isEqualTo(SIZE);
        disk.close();
    }

    @Test
    void aHeaderThatCannotBeIsRefused() throws Exception {
        byte[] sound = made("vpc", "subformat=dynamic,force_size=on");
        byte[] unsummed = sound.clone();
        unsummed[VHD_HEADER + 100] ^= 1;
        refused("vpc", unsummed, "checksum of its header");
        for (int blockBytes : new int[] {0, -1, 3, 256, 1000, 1 << 30, Integer.MIN_VALUE}) {
            byte[] image = sound.clone();
            ByteBuffer.wrap(image).putInt(VHD_HEADER + 32, blockBytes);
            sumHeader(image);
            refused("vpc", image, "block size");
        }
        for (int entries : new int[] {0, 1}) {
            byte[] image = sound.clone();
            ByteBuffer.wrap(image).putInt(VHD_HEADER + 28, entries);
            sumHeader(image);
            refused("vpc", image, "table is too short");
        }
        for (long place : new long[] {-1, 1L << 62, sound.length, sound.length - 3}) {
            byte[] image = sound.clone();
            ByteBuffer.wrap(image).putLong(VHD_HEADER + 16, place);
            sumHeader(image);
            refused("vpc", image, "table goes past the end");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1 << 30, Integer.MAX_VALUE, -2})
    void aBlockPastTheEndIsCorrupt(int sector) throws Exception {
        byte[] image = made("vpc", "subformat=dynamic,force_size=on");
        ByteBuffer.wrap(image).putInt(VHD_TABLE, sector);
        ForeignDisk disk = open("vpc", image);
        assertThat(read(disk, 0)).isEqualTo(ErrorKind.CORRUPT);
        assertThat(read(disk, 2 << 20)).as("the next one").isNull();
        disk.close();
    }
}
