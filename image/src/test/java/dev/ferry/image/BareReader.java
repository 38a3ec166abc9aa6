package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Reads differencing disks as the specifications of VHD and VHDX say, in as few words as can be and by none of the code that is
 * tested: no program at hand reads them.
 */
final class BareReader {
    private static final int SECTOR = 512;

    private BareReader() {}

    /** What a differencing VHD reads as over a parent. */
    static byte[] vhd(byte[] file, byte[] parent) {
        byte[] content = parent.clone();
        ByteBuffer fields = ByteBuffer.wrap(file);
        byte[] footer = Arrays.copyOfRange(file, file.length - SECTOR, file.length);
        assertThat(Arrays.copyOf(file, SECTOR)).as("the copy of the footer").isEqualTo(footer);
        assertThat(ByteBuffer.wrap(footer).getInt(60)).as("type").isEqualTo(4);
        assertThat(ByteBuffer.wrap(footer).getInt(64)).isEqualTo(sum(footer, 64));
        assertThat(ByteBuffer.wrap(footer).getLong(48)).isEqualTo(parent.length);
        int header = (int) fields.getLong(16);
        byte[] head = Arrays.copyOfRange(file, header, header + 1024);
        assertThat(fields.getInt(header + 36)).isEqualTo(sum(head, 36));
        int table = (int) fields.getLong(header + 16);
        int blockBytes = fields.getInt(header + 32);
        int bitmapBytes = (blockBytes / SECTOR / 8 + SECTOR - 1) / SECTOR * SECTOR;
        assertThat(fields.getInt(header + 28)).isEqualTo((parent.length + blockBytes - 1) / blockBytes);
        for (int at = 0; at < parent.length; at += SECTOR) {
            int block = fields.getInt(table + at / blockBytes * 4);
            int within = at % blockBytes / SECTOR;
            if (block != -1 && (file[block * SECTOR + within / 8] & 0x80 >> within % 8) != 0) {
                System.arraycopy(file, block * SECTOR + bitmapBytes + within * SECTOR, content, at, SECTOR);
            }
        }
        return content;
    }

    private static int sum(byte[] bytes, int own) {
        int sum = 0;
        for (int i = 0; i < bytes.length; i++) {
            sum += i >= own && i < own + 4 ? 0 : bytes[i] & 0xff;
        }
        return ~sum;
    }

    /** What a differencing VHDX in sectors of 512 bytes reads as over a parent. */
    static byte[] vhdx(byte[] file, byte[] parent) {
        byte[] content = parent.clone();
        ByteBuffer fields = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        for (int header : new int[] {64 << 10, 128 << 10}) {
            assertThat(fields.getLong(header + 48)).as("the log is empty").isZero();
        }
        int regions = 192 << 10;
        int table = 0;
        int metadata = 0;
        for (int i = 0; i < fields.getInt(regions + 8); i++) {
            int at = regions + 16 + 32 * i;
            if (fields.getInt(at) == 0x2dc27766) {
                table = (int) fields.getLong(at + 16);
            } else {
                metadata = (int) fields.getLong(at + 16);
            }
        }
        int parameters = metadata + fields.getInt(metadata + item(fields, metadata, 0xcaa16737) + 16);
        int size = metadata + fields.getInt(metadata + item(fields, metadata, 0x2fa54224) + 16);
        int locator = item(fields, metadata, 0xa8d35f2d);
        assertThat(fields.getInt(metadata + locator + 24))
                .as("the locator is required")
                .isEqualTo(4);
        assertThat(fields.getInt(parameters + 4)).as("it has a parent").isEqualTo(2);
        assertThat(fields.getLong(size)).isEqualTo(parent.length);
        int blockBytes = fields.getInt(parameters);
        int ratio = (int) ((1L << 23) * SECTOR / blockBytes);
        for (int at = 0; at < parent.length; at += SECTOR) {
            int block = at / blockBytes;
            long entry = fields.getLong(table + (block + block / ratio) * 8);
            long bitmap = fields.getLong(table + (block / ratio * (ratio + 1) + ratio) * 8);
            int place = (int) (entry >>> 20 << 20);
            int bit = at / SECTOR;
            switch ((int) (entry & 7)) {
                case 0 -> {}
                case 6 -> System.arraycopy(file, place + at % blockBytes, content, at, SECTOR);
                case 7 -> {
                    assertThat(bitmap & 7).as("there is a bitmap").isEqualTo(6);
                    if ((file[(int) (bitmap >>> 20 << 20) + bit / 8] & 1 << bit % 8) != 0) {
                        System.arraycopy(file, place + at % blockBytes, content, at, SECTOR);
                    }
                }
                default -> throw new AssertionError("a state that nothing here writes: " + entry);
            }
        }
        return content;
    }

    private static int item(ByteBuffer fields, int metadata, int identity) {
        for (int i = 1; i <= fields.getShort(metadata + 10); i++) {
            if (fields.getInt(metadata + 32 * i) == identity) {
                return 32 * i;
            }
        }
        throw new AssertionError("no item " + Integer.toHexString(identity));
    }
}
