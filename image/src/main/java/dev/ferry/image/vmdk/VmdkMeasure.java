package dev.ferry.image.vmdk;

import dev.ferry.block.BlockException;
import dev.ferry.image.MeasuredBytes;
import dev.ferry.image.sparse.GrainMeasure;
import java.nio.charset.StandardCharsets;

/** How long the files of a VMDK disk get, all together. Thread: any. */
public final class VmdkMeasure {
    /** The name is not known that the disk gets; with a shorter one a text is shorter. */
    private static final String LONGEST_NAME = "x".repeat(240) + ".vmdk";

    private VmdkMeasure() {}

    /**
     * Of one that is written grain by grain, or lies in its files as it is.
     *
     * @param sizeBytes of the disk, a multiple of 512
     * @param kind not {@link VmdkKind#STREAM_OPTIMIZED}, of which nobody knows before how far it is compressed
     */
    public static GrainMeasure of(long sizeBytes, VmdkKind kind) throws BlockException {
        VmdkText text = new VmdkText(kind, kind.parts(LONGEST_NAME, sizeBytes), 0);
        long textBytes = kind.apart() ? text.write().getBytes(StandardCharsets.UTF_8).length : 0;
        if (kind.flat()) {
            return GrainMeasure.fixed(textBytes + sizeBytes);
        }
        long emptyBytes = textBytes;
        for (VmdkText.Part part : text.parts()) {
            MeasuredBytes file = new MeasuredBytes("vmdk image");
            VmdkWriter writer = kind.apart() ? VmdkWriter.ofExtent(file, part.sizeBytes()) : new VmdkWriter(file, text);
            writer.finishEmpty();
            emptyBytes += file.lengthBytes();
        }
        return new GrainMeasure(sizeBytes, VmdkWriter.GRAIN_BYTES, VmdkWriter.GRAIN_BYTES, emptyBytes);
    }
}
