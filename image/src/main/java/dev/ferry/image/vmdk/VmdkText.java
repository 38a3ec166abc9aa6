package dev.ferry.image.vmdk;

import dev.ferry.block.Invariant;
import dev.ferry.image.sparse.Neighbours;
import java.util.Locale;

/**
 * The descriptor of a new disk that lies in one extent.
 *
 * @param extentName name of the file of the extent, beside the descriptor or the same
 * @param sizeBytes of the disk, a multiple of 512
 * @param contentId any number; it tells this content from others
 */
public record VmdkText(VmdkKind kind, String extentName, long sizeBytes, int contentId) {
    private static final int SECTOR_BYTES = 512;
    private static final int HEADS = 255;
    private static final int SECTORS_OF_TRACK = 63;

    public VmdkText {
        Invariant.that(sizeBytes % SECTOR_BYTES == 0, "whole sectors");
        Invariant.that(isName(extentName), "a name that a descriptor can have");
    }

    /** True for a file name that can stand in a descriptor. */
    public static boolean isName(String name) {
        return Neighbours.isName(name) && name.indexOf('"') < 0 && name.length() < 256;
    }

    public String write() {
        long sectors = sizeBytes / SECTOR_BYTES;
        String offset = kind == VmdkKind.MONOLITHIC_FLAT ? " 0" : "";
        return String.format(
                Locale.ROOT,
                """
                # Disk DescriptorFile
                version=1
                encoding="UTF-8"
                CID=%08x
                parentCID=ffffffff
                createType="%s"

                # Extent description
                RW %d %s "%s"%s

                # The Disk Data Base
                #DDB

                ddb.virtualHWVersion = "4"
                ddb.geometry.cylinders = "%d"
                ddb.geometry.heads = "%d"
                ddb.geometry.sectors = "%d"
                ddb.adapterType = "lsilogic"
                """,
                contentId,
                kind.text(),
                sectors,
                kind.extent(),
                extentName,
                offset,
                Math.max(1, sectors / (HEADS * SECTORS_OF_TRACK)),
                HEADS,
                SECTORS_OF_TRACK);
    }
}
