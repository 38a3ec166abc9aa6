package dev.ferry.stack;

import dev.ferry.block.BlockException;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.image.qcow2.Qcow2Bitmaps;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Dirty bitmaps that lie in qcow2 images, as {@link DirtyBitmap}s: taken out before an image is opened, put back when it is
 * closed. Thread: the control plane; calls block.
 */
public final class ImageBitmaps {
    private ImageBitmaps() {}

    /**
     * A bitmap that was taken out.
     *
     * @param follows it is to follow every change, and to be put back then
     * @param inUse it should have followed changes that it did not: nothing in it is to be believed
     */
    public record Stored(String name, DirtyBitmap bits, boolean follows, boolean inUse) {}

    /** Reads one, by its name. */
    public static Optional<Stored> read(DiskLoop loop, DiskSpec spec, FileOpener opener, String name)
            throws BlockException {
        return Images.with(
                loop,
                spec.cached().asReadOnly(),
                opener,
                bytes -> Optional.ofNullable(Qcow2Bitmaps.read(bytes, name)).map(ImageBitmaps::stored));
    }

    private static Stored stored(Qcow2Bitmaps.Content content) {
        DirtyBitmap bitmap = new DirtyBitmap(content.sizeBytes(), content.granularityBytes());
        byte[] piece = new byte[DirtyBitmap.PIECE_BYTES];
        for (int i = 0; i < bitmap.pieces(); i++) {
            int at = i * DirtyBitmap.PIECE_BYTES;
            int there = Math.clamp(content.bits().length - at, 0, piece.length);
            Arrays.fill(piece, (byte) 0);
            System.arraycopy(content.bits(), Math.min(at, content.bits().length), piece, 0, there);
            bitmap.putPiece(i, piece, 0);
        }
        return new Stored(content.name(), bitmap, content.follows(), content.inUse());
    }

    /** Puts bitmaps back that have followed every change of the image since they were read. It is not open. */
    public static void write(DiskLoop loop, DiskSpec spec, FileOpener opener, List<Stored> followed)
            throws BlockException {
        List<Qcow2Bitmaps.Content> contents = new ArrayList<>();
        for (Stored one : followed) {
            DirtyBitmap bitmap = one.bits();
            long blocks = (bitmap.sizeBytes() + bitmap.granularityBytes() - 1) / bitmap.granularityBytes();
            byte[] pieces = new byte[bitmap.pieces() * DirtyBitmap.PIECE_BYTES];
            for (int i = 0; i < bitmap.pieces(); i++) {
                bitmap.copyPiece(i, pieces, i * DirtyBitmap.PIECE_BYTES);
            }
            byte[] bits = Arrays.copyOf(pieces, (int) ((blocks + Byte.SIZE - 1) / Byte.SIZE));
            contents.add(new Qcow2Bitmaps.Content(
                    one.name(), bitmap.granularityBytes(), bitmap.sizeBytes(), true, false, bits));
        }
        ImageChanges.change(loop, spec, opener, bytes -> Qcow2Bitmaps.write(bytes, contents));
    }
}
