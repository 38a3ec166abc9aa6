package dev.ferry.image.fuzz;

import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.image.vmdk.WritableVmdk;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Files that say they are VMDK: opened to be read and to be written, and checked. */
public final class VmdkFuzz {
    private static final int SIZE_BYTES = 1 << 20;

    private VmdkFuzz() {}

    /** Called by the fuzzer. */
    public static void fuzzerTestOneInput(byte[] data) {
        HostileFile.use(data, (loop, file) -> VmdkImage.open(file, loop, loop, HostileFile.ALONE));
        HostileFile.use(data, (loop, file) -> WritableVmdk.open(file, loop, loop, HostileFile.ALONE, 17));
        HostileFile.look(data, file -> {
            long _ = VmdkImage.sizeBytes(file);
        });
        HostileFile.look(data, file -> VmdkImage.check(file, HostileFile.ALONE, opened -> {}));
    }

    private static byte[] written(VmdkKind kind) {
        return HostileFile.made(file -> {
            VmdkWriter writer = new VmdkWriter(file, new VmdkText(kind, "disk.vmdk", SIZE_BYTES, 0x1234abcd));
            writer.zeroes((SIZE_BYTES + writer.clusterBytes() - 1) / writer.clusterBytes());
            writer.finish();
        });
    }

    /** Images to begin with. */
    public static List<byte[]> corpus() {
        return List.of(written(VmdkKind.MONOLITHIC_SPARSE), written(VmdkKind.STREAM_OPTIMIZED), """
                # Disk DescriptorFile
                version=1
                CID=12345678
                parentCID=ffffffff
                createType="monolithicFlat"
                RW 2048 FLAT "disk-flat.vmdk" 0
                ddb.adapterType = "lsilogic"
                """.getBytes(
                        StandardCharsets.US_ASCII));
    }
}
