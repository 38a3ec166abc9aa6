package dev.ferry.image.fuzz;

import dev.ferry.image.ovf.Manifest;
import dev.ferry.image.ovf.OvfDescriptor;
import dev.ferry.image.ovf.TarIndex;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

/** Appliances: the archive, its descriptor and its manifest. */
public final class ApplianceFuzz {
    private static final int BLOCK_BYTES = 512;

    private ApplianceFuzz() {}

    /** Called by the fuzzer. */
    public static void fuzzerTestOneInput(byte[] data) {
        HostileFile.look(data, file -> {
            for (TarIndex.Entry entry : TarIndex.of(file)) {
                if (entry.offset() < 0 || entry.offset() + entry.sizeBytes() > data.length) {
                    throw new AssertionError(entry + " is not in the archive");
                }
            }
        });
        HostileFile.look(data, OvfDescriptor::read);
        HostileFile.look(data, file -> Manifest.read(file).verify("disk.vmdk", file));
    }

    private static byte[] tar(String name, String content) {
        byte[] archive = new byte[4 * BLOCK_BYTES];
        put(archive, 0, name);
        put(archive, 100, "0000644");
        put(archive, 124, String.format("%011o", content.length()));
        put(archive, 156, "0");
        put(archive, 257, "ustar");
        put(archive, 263, "00");
        Arrays.fill(archive, 148, 156, (byte) ' ');
        int sum = 0;
        for (int i = 0; i < BLOCK_BYTES; i++) {
            sum += archive[i];
        }
        put(archive, 148, String.format("%06o", sum));
        archive[154] = 0;
        put(archive, BLOCK_BYTES, content);
        return archive;
    }

    private static void put(byte[] into, int at, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(bytes, 0, into, at, bytes.length);
    }

    /** An archive, a descriptor and a manifest to begin with. */
    public static List<byte[]> corpus() {
        String descriptor = "<Envelope xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>"
                + "<File ovf:id=\"f\" ovf:href=\"disk.vmdk\"/></References><DiskSection><Disk ovf:diskId=\"d\" ovf:fileRef=\"f\""
                + " ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html\"/></DiskSection></Envelope>";
        return List.of(
                tar("vm.ovf", "nothing"),
                descriptor.getBytes(StandardCharsets.US_ASCII),
                "SHA1(disk.vmdk)= da39a3ee5e6b4b0d3255bfef95601890afd80709\n".getBytes(StandardCharsets.US_ASCII));
    }
}
