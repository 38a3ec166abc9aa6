package dev.ferry.migration.copy;

import dev.ferry.filter.tracking.DirtyBitmap;
import java.security.MessageDigest;
import java.util.HexFormat;

/**
 * A comparison that is made in rounds, while the guest changes what has been compared: what is left to compare, and the
 * digests, which go on from round to round. With a guest at rest one round is all there is, and the digests are those of
 * the regions in order; each region that is compared again adds its digest once more, at the end.
 *
 * <p>Thread: the loop's.
 */
public final class Proof {
    final DirtyBitmap unproved;
    final MessageDigest sourceTree = RegionDigest.sha256();
    final MessageDigest targetTree = RegionDigest.sha256();

    /** @param unproved of the granularity of the mirror's regions; whoever makes changes marks them there */
    public Proof(DirtyBitmap unproved) {
        this.unproved = unproved;
    }

    /** Bytes of regions that are left to compare. */
    public long unprovedBytes() {
        return unproved.dirtyBytes();
    }

    static String soFar(MessageDigest tree) {
        try {
            return HexFormat.of().formatHex(((MessageDigest) tree.clone()).digest());
        } catch (CloneNotSupportedException e) {
            throw new IllegalStateException("the SHA-256 of every Java can be cloned", e);
        }
    }
}
