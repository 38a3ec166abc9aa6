package dev.ferry.image.sparse;

import java.util.List;
import java.util.stream.Stream;

/**
 * What a look at the grains of a disk found.
 *
 * @param corruptions contradictions by which data may be lost
 * @param stale entries of copies of tables that are not what the tables say, as a kill leaves them: no data is lost by them
 * @param grains of the disk
 * @param there those of them that lie in the file
 * @param packed those of them that are compressed
 * @param fragmented those that do not lie behind the one before
 * @param endOffset where the last one ends
 * @param findings the first ones, in words
 */
public record Census(
        long corruptions,
        long stale,
        long grains,
        long there,
        long packed,
        long fragmented,
        long endOffset,
        List<String> findings) {
    /** Of what has nothing that could be wrong. */
    public static final Census NOTHING = new Census(0, 0, 0, 0, 0, 0, 0, List.of());

    public Census {
        findings = List.copyOf(findings);
    }

    /** This, and what was found in another file of the same disk. */
    public Census and(Census other) {
        return new Census(
                corruptions + other.corruptions,
                stale + other.stale,
                grains + other.grains,
                there + other.there,
                packed + other.packed,
                fragmented + other.fragmented,
                Math.max(endOffset, other.endOffset),
                Stream.concat(findings.stream(), other.findings.stream()).toList());
    }
}
