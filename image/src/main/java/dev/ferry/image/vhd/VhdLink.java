package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdImage.s32;
import static dev.ferry.image.vhd.VhdImage.u64;
import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Neighbours;
import java.nio.ByteBuffer;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What a differencing disk says of where its parent lies, changed: its name in the header, and the paths that the locators point to.
 * A locator that has no room for the new path is taken away; the header's name is there always. The parent's identity stays.
 * Blocking code of the control plane.
 */
public final class VhdLink {
    private static final int NAME_CHARS_MAX = PARENT_NAME_BYTES / Character.BYTES - 1;

    private VhdLink() {}

    /** @param name of the parent, which lies beside the file from now on */
    public static void change(FileBytes file, String name) throws BlockException {
        VhdImage image = VhdImage.open(file);
        if (!image.delta()) {
            return;
        }
        if (name.length() > NAME_CHARS_MAX) {
            throw VhdImage.flaw(file, ErrorKind.UNSUPPORTED, "its header has no room for the name of its parent");
        }
        long at = u64(image.footer(), DATA_OFFSET);
        byte[] header = file.read(at, HEADER_BYTES);
        byte[] before = header.clone();
        String had = new String(header, PARENT_NAME, PARENT_NAME_BYTES, StandardCharsets.UTF_16BE);
        if (!Neighbours.lastOf(ended(had)).equals(name)) {
            byte[] field = Arrays.copyOf(name.getBytes(StandardCharsets.UTF_16BE), PARENT_NAME_BYTES);
            System.arraycopy(field, 0, header, PARENT_NAME, field.length);
        }
        for (int i = 0; i < LOCATOR_COUNT; i++) {
            int locator = LOCATORS + i * LOCATOR_BYTES;
            switch (s32(header, locator)) {
                case PLATFORM_W2RU -> locate(file, header, locator, StandardCharsets.UTF_16LE, ".\\", name);
                case PLATFORM_W2KU, PLATFORM_MACX -> {
                    Charset letters =
                            s32(header, locator) == PLATFORM_MACX ? StandardCharsets.UTF_8 : StandardCharsets.UTF_16LE;
                    String path = path(file, header, locator, letters);
                    String folder = path.substring(
                            0, path.length() - Neighbours.lastOf(path).length());
                    locate(file, header, locator, letters, folder, name);
                }
                default -> {}
            }
        }
        if (!Arrays.equals(before, header)) {
            ByteBuffer.wrap(header).putInt(HEADER_CHECKSUM, checksum(header, HEADER_BYTES, HEADER_CHECKSUM));
            file.write(at, header);
            file.flush();
        }
    }

    private static String ended(String text) {
        int end = text.indexOf('\0');
        return end < 0 ? text : text.substring(0, end);
    }

    /** Its bounds have been looked at when the file was opened. */
    private static String path(FileBytes file, byte[] header, int locator, Charset letters) throws BlockException {
        byte[] bytes = file.read(u64(header, locator + LOCATOR_OFFSET), s32(header, locator + LOCATOR_LENGTH));
        return ended(new String(bytes, letters));
    }

    private static void locate(FileBytes file, byte[] header, int locator, Charset letters, String folder, String name)
            throws BlockException {
        String had = path(file, header, locator, letters);
        if (had.equals(folder + name) || had.equals(name)) {
            return;
        }
        long offset = u64(header, locator + LOCATOR_OFFSET);
        int length = s32(header, locator + LOCATOR_LENGTH);
        int room = room(offset, length, s32(header, locator + LOCATOR_SPACE));
        byte[] bytes = (folder + name).getBytes(letters);
        if (bytes.length > room) {
            Arrays.fill(header, locator, locator + LOCATOR_BYTES, (byte) 0);
            return;
        }
        ByteBuffer.wrap(header).putInt(locator + LOCATOR_LENGTH, bytes.length);
        file.write(offset, Arrays.copyOf(bytes, Math.max(length, bytes.length)));
    }

    /** What may be written where a path is: some programs say that in bytes, others in sectors, and all begin at a sector. */
    private static int room(long offset, int length, int said) {
        int sectors = (length + SECTOR_BYTES - 1) / SECTOR_BYTES;
        boolean whole = offset % SECTOR_BYTES == 0 && (said == sectors || said >= sectors * SECTOR_BYTES);
        return whole ? sectors * SECTOR_BYTES : length;
    }
}
