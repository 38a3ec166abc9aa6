package dev.ferry.nbd.wire;

import dev.ferry.block.Geometry;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a server has said of an export, as it said it: nothing in here has been checked but by {@link #flaw}.
 *
 * @param sizeBytes -1 if it did not say; above 2^63-1 it is negative here
 * @param minimumBlockBytes 0 if it did not say, as the next two
 * @param contexts its metadata contexts
 */
public record ExportReport(
        String name,
        String description,
        long sizeBytes,
        int transmissionFlags,
        long minimumBlockBytes,
        long preferredBlockBytes,
        long maximumPayloadBytes,
        List<String> contexts) {
    private static final int PREFERRED_BYTES = 4096;

    static ExportReport named(String name) {
        return new ExportReport(name, "", -1, 0, 0, 0, 0, List.of());
    }

    ExportReport withExport(long size, int flags) {
        // Flags mean something only if the server says that they are flags.
        int meant = (flags & Nbd.FLAG_HAS_FLAGS) != 0 ? flags : 0;
        return new ExportReport(
                name, description, size, meant, minimumBlockBytes, preferredBlockBytes, maximumPayloadBytes, contexts);
    }

    ExportReport withName(String canonical) {
        return new ExportReport(
                canonical,
                description,
                sizeBytes,
                transmissionFlags,
                minimumBlockBytes,
                preferredBlockBytes,
                maximumPayloadBytes,
                contexts);
    }

    ExportReport withDescription(String text) {
        return new ExportReport(
                name,
                text,
                sizeBytes,
                transmissionFlags,
                minimumBlockBytes,
                preferredBlockBytes,
                maximumPayloadBytes,
                contexts);
    }

    ExportReport withBlockSizes(long minimum, long preferred, long maximum) {
        return new ExportReport(name, description, sizeBytes, transmissionFlags, minimum, preferred, maximum, contexts);
    }

    ExportReport withContexts(List<String> names) {
        return new ExportReport(
                name,
                description,
                sizeBytes,
                transmissionFlags,
                minimumBlockBytes,
                preferredBlockBytes,
                maximumPayloadBytes,
                names);
    }

    /** What makes this export unusable, in words; null if nothing does. */
    @Nullable
    String flaw(int blockBytesMax) {
        if (sizeBytes < 0) {
            return "the export is larger than 2^63-1 bytes";
        }
        if (minimumBlockBytes == 0) {
            return null;
        }
        boolean powers = Long.bitCount(minimumBlockBytes) == 1 && Long.bitCount(preferredBlockBytes) == 1;
        if (!powers
                || minimumBlockBytes > blockBytesMax
                || preferredBlockBytes < minimumBlockBytes
                || maximumPayloadBytes < minimumBlockBytes) {
            return "the server's block sizes make no sense: " + minimumBlockBytes + ", " + preferredBlockBytes + ", "
                    + maximumPayloadBytes;
        }
        if (sizeBytes % minimumBlockBytes != 0) {
            return "the export's size, " + sizeBytes + ", is not a multiple of its block size, " + minimumBlockBytes;
        }
        return null;
    }

    /** This report with what the specification says of a server that does not tell. Only without {@link #flaw}. */
    ExportFacts facts() {
        boolean told = minimumBlockBytes != 0;
        int minimum = told ? (int) minimumBlockBytes : 1;
        int preferred = told ? (int) Math.min(preferredBlockBytes, 1 << 30) : PREFERRED_BYTES;
        long most = told ? Math.min(maximumPayloadBytes, Geometry.MAX_TRANSFER_BYTES) : Geometry.MAX_TRANSFER_BYTES;
        int payload = (int) (most - most % minimum);
        return new ExportFacts(name, description, sizeBytes, transmissionFlags, minimum, preferred, payload);
    }
}
