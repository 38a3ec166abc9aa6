package dev.ferry.image.fuzz;

import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhd.VhdKind;
import java.time.Instant;
import java.util.List;
import java.util.UUID;

/** Files that say they are VHD: opened to be read and to be written, and checked. */
public final class VhdFuzz {
    private VhdFuzz() {}

    /** Called by the fuzzer. */
    public static void fuzzerTestOneInput(byte[] data) {
        HostileFile.use(data, (loop, file) -> VhdImage.open(file.bytes()).device(file.device(), null));
        HostileFile.use(data, (loop, file) -> {
            VhdImage image = VhdImage.open(file.bytes());
            return image.writable(loop, file.device(), image.delta() ? HostileFile.PARENT : null);
        });
        HostileFile.look(data, file -> VhdImage.open(file).check());
    }

    private static byte[] created(VhdKind kind, int sizeBytes) {
        return HostileFile.made(file ->
                VhdCreator.create(file, sizeBytes, kind, Instant.parse("2026-01-01T00:00:00Z"), new UUID(17, 4)));
    }

    /** Images to begin with. */
    public static List<byte[]> corpus() {
        return List.of(created(VhdKind.DYNAMIC, 8 << 20), created(VhdKind.FIXED, 4096));
    }
}
