package dev.ferry.nbd.fuzz;

import dev.ferry.block.BlockException;
import dev.ferry.nbd.client.NbdUri;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.stream.Stream;

/** URIs as people write them, and worse: they are understood, or refused with a reason. */
public final class UriFuzz {
    private UriFuzz() {}

    /** Called by the fuzzer. */
    public static void fuzzerTestOneInput(byte[] data) {
        String text = new String(data, StandardCharsets.UTF_8);
        NbdUri uri;
        try {
            uri = NbdUri.parse(text);
        } catch (BlockException refused) {
            if (refused.error().message().isBlank()) {
                throw new AssertionError("refused without a reason: " + text);
            }
            return;
        }
        String written = uri.toString();
        try {
            if (!NbdUri.parse(written).toString().equals(written)) {
                throw new AssertionError("written as " + written + " it is another");
            }
        } catch (BlockException refused) {
            throw new AssertionError("what is written is refused: " + written, refused);
        }
    }

    /** URIs to begin with. */
    public static List<byte[]> corpus() {
        return Stream.of(
                        "nbd://host",
                        "nbd://[::1]:10810/an%20export",
                        "nbds://user@host:1/?tls-certificates=/etc/pki&tls-hostname=other&tls-verify-peer=0",
                        "nbd+unix:///disk?socket=/run/s%2Fx",
                        "nbds+unix:///?socket=/s&tls-hostname=localhost",
                        "nbd+vsock://2:3/disk")
                .map(text -> text.getBytes(StandardCharsets.UTF_8))
                .toList();
    }
}
