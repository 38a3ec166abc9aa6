package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What of VHDX no program at hand makes: differencing disks, logs, damage with right checksums. */
class VhdxTest {
    private static final int SIZE = 24 * 16 * 63 * 512;
    private static final int BLOCK = 1 << 20;
    private static final int HEADER = 64 << 10;
    private static final int REGIONS = 192 << 10;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(1);

    private byte[] made(Path image, SplittableRandom random) throws IOException {
        byte[] content = new byte[SIZE];
        for (int i = 0; i < 6; i++) {
            byte[] patch = new byte[1 + random.nextInt(900_000)];
            random.nextBytes(patch);
            System.arraycopy(patch, 0, content, random.nextInt(SIZE - patch.length), patch.length);
        }
        Path raw = Files.write(directory.resolve("content.raw"), content);
        String options = "block_size=1M,block_state_zero=off";
        Program.ok("qemu-img", "convert", "-f", "raw", "-O", "vhdx", "-o", options, raw, image);
        return content;
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void sum(byte[] image, int at, int length) {
        ByteBuffer bytes = little(image);
        bytes.putInt(at + 4, 0);
        CRC32C sum = new CRC32C();
        sum.update(image, at, length);
        bytes.putInt(at + 4, (int) sum.getValue());
    }

    /** Where the region with that first field of its identity begins. */
    private static int region(ByteBuffer image, int identity) {
        int at = REGIONS + 16;
        while (image.getInt(at) != identity) {
            at += 32;
        }
        return (int) image.getLong(at + 16);
    }

    private static String dataIdentity(byte[] image) {
        ByteBuffer bytes = little(image);
        int newer = bytes.getLong(HEADER + 8) > bytes.getLong(2 * HEADER + 8) ? HEADER : 2 * HEADER;
        ByteBuffer big = ByteBuffer.wrap(image);
        return String.format(
                "{%08x-%04x-%04x-%04x-%012x}",
                bytes.getInt(newer + 32),
                bytes.getShort(newer + 36),
                bytes.getShort(newer + 38),
                big.getShort(newer + 40),
                big.getLong(newer + 40) & 0xffff_ffff_ffffL);
    }

    /** Makes a disk that QEMU wrote a child of another: some of its blocks count sector by sector. */
    private static byte[] childOf(byte[] parent, Path parentFile, byte[] own, Path file, SplittableRandom random)
            throws IOException {
        byte[] made = Files.readAllBytes(file);
        byte[] image = Arrays.copyOf(made, (made.length + 2 * BLOCK - 1) / BLOCK * BLOCK);
        int bitmap = image.length - BLOCK;
        ByteBuffer bytes = little(image);
        int metadata = region(bytes, 0x8b7ca206);
        int table = region(bytes, 0x2dc27766);
        for (int i = 1; i <= bytes.getShort(metadata + 10); i++) {
            if (bytes.getInt(metadata + 32 * i) == 0xcaa16737) {
                int parameters = metadata + bytes.getInt(metadata + 32 * i + 16);
                bytes.putInt(parameters + 4, 2);
            }
        }
        locator(
                bytes,
                metadata,
                dataIdentity(Files.readAllBytes(parentFile)),
                parentFile.getFileName().toString());
        byte[] content = parent.clone();
        bytes.putLong(table + 4096 * 8, (long) bitmap | 6);
        for (int block = 0; block * BLOCK < SIZE; block++) {
            long entry = bytes.getLong(table + block * 8);
            boolean partly = random.nextBoolean();
            if ((entry & 7) != 6) {
                continue;
            }
            bytes.putLong(table + block * 8, partly ? entry | 7 : entry);
            for (int sector = 0; sector < BLOCK / 512 && block * BLOCK + sector * 512 < SIZE; sector++) {
                int at = block * BLOCK + sector * 512;
                int bit = at / 512;
                boolean here = !partly || (random.nextInt(9) > 0) == (sector / 100 % 2 == 0);
                if (here) {
                    image[bitmap + bit / 8] |= (byte) (1 << bit % 8);
                    System.arraycopy(own, at, content, at, 512);
                }
            }
        }
        Files.write(file, image);
        return content;
    }

    private static void locator(ByteBuffer bytes, int metadata, String identity, String parent) {
        int count = bytes.getShort(metadata + 10) + 1;
        bytes.putShort(metadata + 10, (short) count);
        int item = 512 << 10;
        int entry = metadata + 32 * count;
        bytes.putLong(entry, 0x454d_b30b_a8d3_5f2dL).putLong(entry + 8, 0x0cab_3448_d8d3_f7abL);
        bytes.putInt(entry + 16, item).putInt(entry + 20, 1024).putInt(entry + 24, 4);
        int at = metadata + item;
        bytes.putLong(at, 0x4a81_d19e_b04a_efb7L).putLong(at + 8, 0x1359_44e9_b825_89b7L);
        bytes.putShort(at + 18, (short) 2);
        String[] texts = {"parent_linkage", identity, "relative_path", "..\\other\\" + parent};
        int text = 64;
        for (int i = 0; i < texts.length; i++) {
            byte[] letters = texts[i].getBytes(StandardCharsets.UTF_16LE);
            int pair = at + 20 + i / 2 * 12;
            bytes.putInt(pair + i % 2 * 4, text).putShort(pair + 8 + i % 2 * 2, (short) letters.length);
            bytes.put(at + text, letters);
            text += letters.length;
        }
    }

    @Test
    void differencingDisksShowTheirParentSectorBySector() {
        Seeds.run(2, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path base = directory.resolve("base.vhdx");
            Path child = directory.resolve("child.avhdx");
            byte[] below = made(base, random);
            byte[] content = childOf(below, base, made(child, random), child, random);
            ForeignDisk disk = ForeignDisk.vhdx(loop, child);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            assertThat(disk.zeroes(content)).isGreaterThanOrEqualTo(0);
            disk.close();
            Program.ok("qemu-io", "-f", "vhdx", "-c", "write 0 512", base);
            assertThatThrownBy(() -> ForeignDisk.vhdx(loop, child)).hasMessageContaining("written to since");
            Files.delete(base);
            assertThatThrownBy(() -> ForeignDisk.vhdx(loop, child)).hasMessageContaining("not there");
        });
    }

    @Test
    void aLogWithoutASoundEntryIsRefused() throws Exception {
        Path image = directory.resolve("dirty.vhdx");
        byte[] content = made(image, new SplittableRandom(3));
        byte[] bytes = Files.readAllBytes(image);
        bytes[HEADER + 48] = 1;
        bytes[2 * HEADER + 48] = 1;
        Files.write(image, bytes);
        assertThatThrownBy(() -> ForeignDisk.vhdx(loop, image)).hasMessageContaining("headers are damaged");
        sum(bytes, HEADER, 4096);
        sum(bytes, 2 * HEADER, 4096);
        Files.write(image, bytes);
        assertThatThrownBy(() -> ForeignDisk.vhdx(loop, image)).hasMessageContaining("log is damaged");
        assertThat(content).hasSize(SIZE);
    }

    /** QEMU writes, and what it took from the log into the file, and that it did, is undone. */
    @Test
    void aLogIsReplayedAsQemuDoes() throws Exception {
        Path image = directory.resolve("dirty.vhdx");
        Program.ok("qemu-img", "create", "-f", "vhdx", "-o", "block_size=1M", image, "12M");
        Program.ok("qemu-io", "-f", "vhdx", "-c", "write -P 7 5M 3M", "-c", "write -P 8 1M 64k", image);
        byte[] content = new byte[12 << 20];
        Arrays.fill(content, 5 << 20, 8 << 20, (byte) 7);
        Arrays.fill(content, 1 << 20, (1 << 20) + (64 << 10), (byte) 8);
        byte[] bytes = Files.readAllBytes(image);
        ByteBuffer fields = little(bytes);
        int newer = fields.getLong(HEADER + 8) > fields.getLong(2 * HEADER + 8) ? HEADER : 2 * HEADER;
        int log = (int) fields.getLong(newer + 72);
        int last = log;
        for (int at = log; at < log + fields.getInt(newer + 68); at += 4096) {
            boolean later = fields.getLong(at + 16) > fields.getLong(last + 16);
            last = fields.getInt(at) == 0x65676f6c && later ? at : last;
        }
        for (int header : new int[] {HEADER, 2 * HEADER}) {
            System.arraycopy(bytes, last + 32, bytes, header + 48, 16);
            sum(bytes, header, 4096);
        }
        int table = region(fields, 0x2dc27766);
        Arrays.fill(bytes, table, table + 4096, (byte) 0);
        Files.write(image, bytes);
        ForeignDisk disk = ForeignDisk.vhdx(loop, image);
        assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
        disk.close();
        assertThat(Files.readAllBytes(image))
                .as("whoever reads changes nothing")
                .isEqualTo(bytes);
        // The log is a ring: what comes after the last entry may be sound, and older.
        byte[] stale = bytes.clone();
        int length = fields.getInt(last + 8);
        System.arraycopy(bytes, last, stale, last + length, length);
        little(stale).putLong(last + length + 16, fields.getLong(last + 16) - 1);
        sum(stale, last + length, length);
        Files.write(image, stale);
        disk = ForeignDisk.vhdx(loop, image);
        assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
        disk.close();
        byte[] torn = bytes.clone();
        for (int at = log; at < log + fields.getInt(newer + 68); at += 4096) {
            torn[at + 4096 + 100] ^= (byte) (fields.getInt(at) == 0x65676f6c ? 1 : 0);
        }
        Files.write(image, torn);
        assertThatThrownBy(() -> ForeignDisk.vhdx(loop, image))
                .as("what an entry says is not what was written")
                .hasMessageContaining("log is damaged");
        Files.write(image, bytes);
        VhdxImage.replay(ForeignDisk.file(loop, image).bytes());
        Path raw = Files.write(directory.resolve("expected.raw"), content);
        Program.ok("qemu-img", "check", "-f", "vhdx", image);
        Program.ok("qemu-img", "compare", "-f", "raw", "-F", "vhdx", raw, image);
        for (int round = 0; round < 60; round++) {
            SplittableRandom random = new SplittableRandom(round);
            byte[] damaged = bytes.clone();
            damaged[log + random.nextInt(16 << 10)] = (byte) random.nextInt();
            ForeignDisk.use("vhdx", loop, Files.write(image, damaged));
        }
    }

    @Test
    void theSecondCopyIsReadWhereTheFirstIsDamaged() throws Exception {
        Path image = directory.resolve("copy.vhdx");
        byte[] content = made(image, new SplittableRandom(4));
        byte[] sound = Files.readAllBytes(image);
        for (int at : new int[] {HEADER + 100, 2 * HEADER + 100, REGIONS + 20}) {
            byte[] damaged = sound.clone();
            damaged[at] ^= 1;
            Files.write(image, damaged);
            ForeignDisk disk = ForeignDisk.vhdx(loop, image);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            disk.close();
        }
    }

    @Test
    void damageWithRightChecksumsIsAClearErrorAndNothingElse() {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path base = directory.resolve("base.vhdx");
            Path child = directory.resolve("child.vhdx");
            byte[] below = made(base, random);
            childOf(below, base, made(child, random), child, random);
            byte[] sound = Files.readAllBytes(child);
            ByteBuffer places = little(sound);
            int[] areas = {
                HEADER + 64,
                REGIONS,
                region(places, 0x8b7ca206),
                region(places, 0x2dc27766),
                region(places, 0x8b7ca206) + (64 << 10)
            };
            for (int round = 0; round < 30; round++) {
                byte[] damaged = sound.clone();
                for (int i = random.nextInt(3); i >= 0; i--) {
                    int at = areas[random.nextInt(areas.length)] + random.nextInt(200);
                    damaged[at] = (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                sum(damaged, HEADER, 4096);
                sum(damaged, REGIONS, 64 << 10);
                ForeignDisk.use("vhdx", loop, Files.write(child, damaged));
            }
        });
    }
}
