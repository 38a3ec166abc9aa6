package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.EXTENSION_DATA_FILE;

import dev.ferry.block.BlockException;
import dev.ferry.block.Invariant;
import dev.ferry.image.FileBytes;
import dev.ferry.image.NewNames;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * The names of other files in the header of an image that nobody uses, changed: that of its backing file, and that of the file that
 * its data is in. Blocking code of the control plane.
 */
public final class Qcow2Names {
    private Qcow2Names() {}

    /** @throws BlockException of kind UNSUPPORTED or INVALID if the header has no room for them */
    public static void change(FileBytes file, NewNames names) throws BlockException {
        Qcow2Header header = Qcow2Header.read(file);
        String below = names.below();
        if (below != null && !below.equals(header.backingName())) {
            Invariant.that(header.backingName() != null, "an image that lies over something");
            Qcow2Link.to(file, below, Objects.requireNonNull(names.belowFormat()));
        }
        String data = header.dataFileName();
        if (data != null && !names.of(data).equals(data)) {
            file.write(0, withData(Qcow2Header.read(file), names.of(data)).encode(file));
            file.flush();
        }
    }

    private static Qcow2Header withData(Qcow2Header header, String name) {
        List<HeaderExtension> extensions = new ArrayList<>();
        for (HeaderExtension extension : header.extensions()) {
            extensions.add(
                    extension.type() == EXTENSION_DATA_FILE
                            ? new HeaderExtension(EXTENSION_DATA_FILE, new Blob(name.getBytes(StandardCharsets.UTF_8)))
                            : extension);
        }
        return new Qcow2Header(
                header.version(),
                header.backingName(),
                header.clusterBits(),
                header.sizeBytes(),
                header.l1Entries(),
                header.l1Offset(),
                header.refcountTableOffset(),
                header.refcountTableClusters(),
                header.snapshotCount(),
                header.snapshotOffset(),
                header.incompatible(),
                header.compatible(),
                header.autoclear(),
                header.refcountOrder(),
                header.bytes(),
                header.compressionType(),
                header.unknownFields(),
                extensions);
    }
}
