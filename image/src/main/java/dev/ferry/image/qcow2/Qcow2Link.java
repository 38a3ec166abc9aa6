package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/**
 * What an overlay says that it lies over, rewritten; the image may be in use by a {@link Qcow2Device}, which writes nothing to this
 * part of it. The new state is one write within the first sector, after what it refers to is durable: a crash leaves the old one
 * or the new one. Blocking code of the control plane.
 */
public final class Qcow2Link {
    private Qcow2Link() {}

    /** It lies over nothing any more: what it has not got itself reads as zeroes. Durable when this returns. */
    public static void drop(FileBytes file) throws BlockException {
        if (Qcow2Header.read(file).backingName() == null) {
            return;
        }
        file.write(BACKING_OFFSET, new byte[BACKING_LENGTH + Integer.BYTES - BACKING_OFFSET]);
        file.flush();
    }

    /**
     * It lies over another file. Durable when this returns.
     *
     * @param name as the image is to name it
     * @param format of that file, such as {@code raw}
     * @throws BlockException of kind UNSUPPORTED if the header has no room for it
     */
    public static void to(FileBytes file, String name, String format) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        byte[] cluster = file.read(0, (int) header.clusterBytes());
        byte[] text = name.getBytes(StandardCharsets.UTF_8);
        int taken = (int) (u64(cluster, BACKING_OFFSET) + u32(cluster, BACKING_LENGTH));
        int at = Math.max(taken, SECTOR_BYTES) + SECTOR_BYTES - 1 & -SECTOR_BYTES;
        int extension = backingFormatAt(cluster, header.bytes());
        byte[] word = format.getBytes(StandardCharsets.UTF_8);
        boolean fits = extension > 0
                && extension + 16 <= SECTOR_BYTES
                && word.length <= 8
                && u32(cluster, extension + 4) <= 8
                && text.length <= Math.min(BACKING_NAME_BYTES_MAX, cluster.length - at);
        if (!fits) {
            throw Qcow2Header.flaw(file, ErrorKind.UNSUPPORTED, "its header has no room for another backing file");
        }
        file.write(at, text);
        file.flush();
        byte[] sector = Arrays.copyOf(cluster, SECTOR_BYTES);
        u64(sector, BACKING_OFFSET, at);
        s32(sector, BACKING_LENGTH, text.length);
        s32(sector, extension + 4, word.length);
        System.arraycopy(Arrays.copyOf(word, 8), 0, sector, extension + 8, 8);
        file.write(0, sector);
        file.flush();
    }

    /** Where the header says the format of the backing file; 0: nowhere. */
    private static int backingFormatAt(byte[] cluster, int headerBytes) {
        for (int at = headerBytes; at + 16 <= SECTOR_BYTES && s32(cluster, at) != EXTENSION_END; ) {
            if (s32(cluster, at) == EXTENSION_BACKING_FORMAT) {
                return at;
            }
            at += 8 + (((int) u32(cluster, at + 4) + 7) & ~7);
        }
        return 0;
    }
}
