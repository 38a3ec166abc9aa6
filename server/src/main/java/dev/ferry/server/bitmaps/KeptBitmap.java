package dev.ferry.server.bitmaps;

import dev.ferry.filter.tracking.DirtyBitmap;
import org.jspecify.annotations.Nullable;

/**
 * A bitmap of a disk.
 *
 * @param sizeBytes of the disk that it was made for
 * @param bits what is dirty; null where that is not known, because changes were made that nobody marked
 */
record KeptBitmap(
        String name,
        int granularityBytes,
        long sizeBytes,
        @Nullable DirtyBitmap bits) {
    /** One with nothing dirty. */
    static KeptBitmap clean(String name, int granularityBytes, long sizeBytes) {
        return new KeptBitmap(name, granularityBytes, sizeBytes, new DirtyBitmap(sizeBytes, granularityBytes));
    }

    /** The same, of which nothing is known but that it should be there. */
    KeptBitmap inconsistent() {
        return new KeptBitmap(name, granularityBytes, sizeBytes, null);
    }

    KeptBitmap cleared() {
        return clean(name, granularityBytes, sizeBytes);
    }
}
