package dev.ferry.image.fuzz;

import dev.ferry.image.sparse.Below;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vhdx.VhdxKind;
import java.util.List;
import java.util.UUID;

/**
 * VHDX images of which something was changed: opened to be read and to be written, their log replayed, and checked. Since such
 * a file is some megabytes long, what the fuzzer gives are changes to one: an offset in three bytes, a length in one, and
 * that many bytes, again and again.
 */
public final class VhdxFuzz {
    private static final int HEAD_BYTES = 4;
    private static final byte[] WELL =
            HostileFile.made(file -> VhdxCreator.create(file, 8 << 20, VhdxKind.DYNAMIC, new UUID(17, 4)));

    private VhdxFuzz() {}

    /** Called by the fuzzer. */
    public static void fuzzerTestOneInput(byte[] data) {
        byte[] changed = WELL.clone();
        int from = 0;
        while (from + HEAD_BYTES < data.length) {
            int offset = ((data[from] & 0xff) << 16 | (data[from + 1] & 0xff) << 8 | (data[from + 2] & 0xff))
                    % changed.length;
            int length = Math.min(data[from + 3] & 0xff, data.length - from - HEAD_BYTES);
            System.arraycopy(data, from + HEAD_BYTES, changed, offset, Math.min(length, changed.length - offset));
            from += HEAD_BYTES + length;
        }
        HostileFile.use(changed, (loop, file) -> VhdxImage.open(file.bytes()).device(file.device(), null));
        HostileFile.use(changed, (loop, file) -> {
            VhdxImage.replay(file.bytes());
            VhdxImage image = VhdxImage.open(file.bytes());
            Below parent = image.delta() ? HostileFile.PARENT : null;
            return image.writable(loop, file.bytes(), file.device(), new UUID(18, 5), parent);
        });
        HostileFile.look(changed, file -> VhdxImage.open(file).check(file));
    }

    /** Changes to begin with: one byte of the second header's check, and of the region table's. */
    public static List<byte[]> corpus() {
        return List.of(new byte[] {2, 0, 4, 1, 7}, new byte[] {3, 0, 4, 1, 7}, new byte[] {4, 0, 4, 1, 7}, new byte[] {
            1, 0, 64, 16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1
        });
    }
}
