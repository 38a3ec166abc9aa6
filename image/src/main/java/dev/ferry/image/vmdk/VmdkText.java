package dev.ferry.image.vmdk;

import dev.ferry.block.Invariant;
import dev.ferry.image.sparse.Neighbours;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The descriptor of a new disk.
 *
 * @param parts the extents, in their order
 * @param contentId any number; it tells this content from others
 * @param parent what it is a delta of; null: nothing
 */
public record VmdkText(
        VmdkKind kind,
        List<Part> parts,
        int contentId,
        @Nullable Parent parent) {
    private static final int SECTOR_BYTES = 512;
    private static final long NO_PARENT = 0xffff_ffffL;
    private static final int HEADS = 255;
    private static final int SECTORS_OF_TRACK = 63;

    /**
     * An extent.
     *
     * @param name of its file, beside the descriptor or the same
     * @param sizeBytes a multiple of 512
     */
    public record Part(String name, long sizeBytes) {
        public Part {
            Invariant.that(sizeBytes % SECTOR_BYTES == 0, "whole sectors");
            Invariant.that(isName(name), "a name that a descriptor can have");
        }
    }

    /**
     * What a delta lies over.
     *
     * @param name of the file beside the delta's that names that disk
     * @param contentId the one that it has now, 32 bits
     */
    public record Parent(String name, long contentId) {
        public Parent {
            Invariant.that(isName(name), "a name that a descriptor can have");
        }
    }

    public VmdkText {
        parts = List.copyOf(parts);
        Invariant.that(parent == null || kind.canBeDelta(), "a kind that deltas have");
    }

    /** Of a disk that is no delta. */
    public VmdkText(VmdkKind kind, List<Part> parts, int contentId) {
        this(kind, parts, contentId, null);
    }

    /** Of a disk in one extent. */
    public VmdkText(VmdkKind kind, String extentName, long sizeBytes, int contentId) {
        this(kind, List.of(new Part(extentName, sizeBytes)), contentId);
    }

    public long sizeBytes() {
        return parts.stream().mapToLong(Part::sizeBytes).sum();
    }

    /** True for a file name that can stand in a descriptor. */
    public static boolean isName(String name) {
        return Neighbours.isName(name) && name.indexOf('"') < 0 && name.length() < 256;
    }

    private String line(Part part) {
        String offset = kind.extent().equals("FLAT") ? " 0" : "";
        return "RW " + part.sizeBytes() / SECTOR_BYTES + " " + kind.extent() + " \"" + part.name() + "\"" + offset;
    }

    public String write() {
        long sectors = sizeBytes() / SECTOR_BYTES;
        return String.format(
                Locale.ROOT,
                """
                # Disk DescriptorFile
                version=1
                encoding="UTF-8"
                CID=%08x
                parentCID=%08x
                createType="%s"
                %s
                # Extent description
                %s

                # The Disk Data Base
                #DDB

                ddb.virtualHWVersion = "4"
                ddb.geometry.cylinders = "%d"
                ddb.geometry.heads = "%d"
                ddb.geometry.sectors = "%d"
                ddb.adapterType = "lsilogic"
                """,
                contentId,
                parent == null ? NO_PARENT : parent.contentId(),
                kind.text(),
                parent == null ? "" : "parentFileNameHint=\"" + parent.name() + "\"\n",
                parts.stream().map(this::line).collect(Collectors.joining("\n")),
                Math.max(1, sectors / (HEADS * SECTORS_OF_TRACK)),
                HEADS,
                SECTORS_OF_TRACK);
    }
}
