package dev.ferry.image;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * Deltas of kinds that no program at hand makes, written from their specifications: what ESX and Hyper-V keep of a disk since
 * a snapshot. Each takes the content of the parent, changes some of it at random, and gives what the child reads as.
 */
final class DeltaFiles {
    private static final int SECTOR_BYTES = 512;
    private static final int TABLE_ENTRIES = 4096;

    private DeltaFiles() {}

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static byte[] noise(SplittableRandom random, int bytes) {
        byte[] noise = new byte[bytes];
        random.nextBytes(noise);
        return noise;
    }

    static void descriptor(Path file, String type, String kind, Path extent, long bytes, String parent, String parentId)
            throws IOException {
        Files.writeString(
                file,
                "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=0badcafe\nparentCID=" + parentId
                        + "\nisNativeSnapshot=\"no\"\ncreateType=\"" + type + "\"\nparentFileNameHint=\"" + parent
                        + "\"\n# Extent description\nRW " + bytes / SECTOR_BYTES + " " + kind + " \""
                        + extent.getFileName()
                        + "\"\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n");
    }

    /** A delta of VMFS, in grains of one sector as ESX has them. */
    static byte[] vmfsSparse(Path file, byte[] parent, SplittableRandom random) throws IOException {
        byte[] content = parent.clone();
        int grains = parent.length / SECTOR_BYTES;
        int tables = (grains + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
        int directorySectors = (tables * 4 + SECTOR_BYTES - 1) / SECTOR_BYTES;
        int sector = 4 + directorySectors;
        byte[] image = new byte[2 * parent.length + (4 << 20)];
        ByteBuffer whole = little(image);
        whole.put("COWD".getBytes(StandardCharsets.US_ASCII))
                .putInt(1)
                .putInt(3)
                .putInt(grains)
                .putInt(1)
                .putInt(4)
                .putInt(tables);
        for (int run = 0; run < 40; run++) {
            int first = random.nextInt(grains);
            for (int grain = first; grain < Math.min(grains, first + 1 + random.nextInt(300)); grain++) {
                int entryOfTable = 4 * SECTOR_BYTES + grain / TABLE_ENTRIES * 4;
                if (whole.getInt(entryOfTable) == 0) {
                    whole.putInt(entryOfTable, sector);
                    sector += TABLE_ENTRIES * 4 / SECTOR_BYTES;
                }
                int entry = whole.getInt(entryOfTable) * SECTOR_BYTES + grain % TABLE_ENTRIES * 4;
                if (whole.getInt(entry) == 0) {
                    whole.putInt(entry, sector++);
                }
                byte[] data = noise(random, SECTOR_BYTES);
                whole.put(whole.getInt(entry) * SECTOR_BYTES, data);
                System.arraycopy(data, 0, content, grain * SECTOR_BYTES, SECTOR_BYTES);
            }
        }
        whole.putInt(28, sector);
        Files.write(file, Arrays.copyOf(image, sector * SECTOR_BYTES));
        return content;
    }

    /** A delta of VMFS 6, in grains of 4 KiB, of which some read as zeroes. */
    static byte[] seSparse(Path file, byte[] parent, SplittableRandom random) throws IOException {
        int grainBytes = 4096;
        byte[] content = parent.clone();
        int grains = parent.length / grainBytes;
        int tables = (grains + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
        int tablesAt = 16;
        int grainsAt = tablesAt + tables * 64;
        int used = 4100;
        byte[] image = new byte[grainsAt * SECTOR_BYTES + (used + 64) * grainBytes];
        ByteBuffer whole = little(image);
        long[] header = {0xcafebabeL, 0x2_0000_0001L, parent.length / SECTOR_BYTES, 8, 64, 0, 0, 0, 0, 0, 1, 1, 2, 2};
        for (int i = 0; i < header.length; i++) {
            whole.putLong(i * 8, header[i]);
        }
        long[] places = {8, 1, tablesAt, tables * 64L, 1, 1, 1, 1, grainsAt, (used + 64) * 8L};
        for (int i = 0; i < places.length; i++) {
            whole.putLong(128 + i * 8, places[i]);
        }
        whole.putLong(512, 0xcafecafeL);
        int next = 0;
        for (int run = 0; run < 60; run++) {
            int grain = random.nextInt(grains);
            int table = grain / TABLE_ENTRIES;
            whole.putLong(8 * SECTOR_BYTES + table * 8, 0x1000_0000_0000_0000L | table);
            int entry = (tablesAt + table * 64) * SECTOR_BYTES + grain % TABLE_ENTRIES * 8;
            byte[] data = new byte[grainBytes];
            int kind = random.nextInt(4);
            if (kind < 2) {
                whole.putLong(entry, (long) (kind + 1) << 60);
            } else {
                // Numbers above 4095, so that both halves of an entry are used.
                int number = random.nextBoolean() ? next++ : used++;
                data = noise(random, grainBytes);
                whole.putLong(entry, 3L << 60 | (number & 0xfffL) << 48 | number >>> 12);
                whole.put(grainsAt * SECTOR_BYTES + number * grainBytes, data);
            }
            System.arraycopy(data, 0, content, grain * grainBytes, grainBytes);
        }
        Files.write(file, image);
        return content;
    }

    /** A differencing disk over a VHD, with the path of its parent in the places where Hyper-V writes it. */
    static byte[] vhdChild(Path file, Path parentFile, byte[] parent, String parentPath, SplittableRandom random)
            throws IOException {
        int blockBytes = 2 << 20;
        byte[] content = parent.clone();
        int blocks = (parent.length + blockBytes - 1) / blockBytes;
        byte[] parentBytes = Files.readAllBytes(parentFile);
        byte[] footer = Arrays.copyOfRange(parentBytes, parentBytes.length - 512, parentBytes.length);
        ByteBuffer foot = ByteBuffer.wrap(footer);
        byte[] parentIdentity = Arrays.copyOfRange(footer, 68, 84);
        foot.putLong(16, 512).putInt(60, 4).put(68, noise(random, 16));
        sum(footer, 0, 512, 64);
        byte[] header = new byte[1024];
        ByteBuffer head = ByteBuffer.wrap(header);
        head.put(0, "cxsparse".getBytes(StandardCharsets.US_ASCII))
                .putLong(8, -1)
                .putLong(16, 1536 + 1024)
                .putInt(24, 0x10000)
                .putInt(28, blocks)
                .putInt(32, blockBytes)
                .put(40, parentIdentity);
        String name = parentPath.substring(Math.max(parentPath.lastIndexOf('\\'), parentPath.lastIndexOf('/')) + 1);
        head.put(64, name.getBytes(StandardCharsets.UTF_16BE));
        byte[] relative = bytes(".\\" + name, StandardCharsets.UTF_16LE);
        byte[] absolute = bytes(parentPath, StandardCharsets.UTF_16LE);
        locator(head, 576, "W2ku", absolute.length, 1536);
        locator(head, 600, "W2ru", relative.length, 2048);
        sum(header, 0, 1024, 36);
        int tableBytes = (blocks * 4 + 511) / 512 * 512;
        ByteBuffer whole = ByteBuffer.allocate(2560 + tableBytes + blocks * (512 + blockBytes) + 512);
        whole.put(0, footer).put(512, header).put(1536, absolute).put(2048, relative);
        int end = 2560 + tableBytes;
        for (int block = 0; block < blocks; block++) {
            whole.putInt(2560 + block * 4, -1);
            if (random.nextInt(3) == 0) {
                continue;
            }
            whole.putInt(2560 + block * 4, end / 512);
            for (int run = 0; run < 20; run++) {
                int first = random.nextInt(blockBytes / 512);
                for (int sector = first; sector < Math.min(blockBytes / 512, first + random.nextInt(200)); sector++) {
                    int at = block * blockBytes + sector * 512;
                    if (at < content.length) {
                        byte[] data = random.nextInt(5) == 0 ? new byte[512] : noise(random, 512);
                        whole.put(end + sector / 8, (byte) (whole.get(end + sector / 8) | 0x80 >> sector % 8));
                        whole.put(end + 512 + sector * 512, data);
                        System.arraycopy(data, 0, content, at, 512);
                    }
                }
            }
            end += 512 + blockBytes;
        }
        whole.put(end, footer);
        Files.write(file, Arrays.copyOf(whole.array(), end + 512));
        return content;
    }

    private static byte[] bytes(String text, Charset letters) {
        return text.getBytes(letters);
    }

    private static void locator(ByteBuffer header, int at, String platform, int length, long offset) {
        header.put(at, platform.getBytes(StandardCharsets.US_ASCII))
                .putInt(at + 4, 512)
                .putInt(at + 8, length)
                .putLong(at + 16, offset);
    }

    /** Sets the checksum of a structure. */
    static void sum(byte[] bytes, int from, int length, int at) {
        int sum = 0;
        for (int i = 0; i < length; i++) {
            sum += i >= at && i < at + 4 ? 0 : bytes[from + i] & 0xff;
        }
        ByteBuffer.wrap(bytes).putInt(from + at, ~sum);
    }
}
