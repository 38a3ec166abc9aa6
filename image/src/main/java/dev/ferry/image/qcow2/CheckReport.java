package dev.ferry.image.qcow2;

import java.util.List;

/**
 * What a check found.
 *
 * @param corruptions contradictions by which data may be lost
 * @param leaks clusters that are counted and used by nobody
 * @param corruptionsFixed corruptions that are no more
 * @param leaksFixed leaks that are no more
 * @param totalClusters guest clusters of the disk
 * @param allocatedClusters those that have a host cluster
 * @param compressedClusters those of them that are compressed
 * @param fragmentedClusters those that do not lie behind the one before
 * @param endOffset where the last cluster in use ends
 * @param findings the first ones, in words
 */
public record CheckReport(
        long corruptions,
        long leaks,
        long corruptionsFixed,
        long leaksFixed,
        long totalClusters,
        long allocatedClusters,
        long compressedClusters,
        long fragmentedClusters,
        long endOffset,
        List<String> findings) {
    public CheckReport {
        findings = List.copyOf(findings);
    }

    public boolean clean() {
        return corruptions == 0 && leaks == 0;
    }

    /** The first finding, or a word that there is none. */
    public String firstFinding() {
        return findings.isEmpty() ? "nothing" : findings.getFirst();
    }

    CheckReport after(CheckReport before) {
        return new CheckReport(
                corruptions,
                leaks,
                Math.max(0, before.corruptions - corruptions),
                Math.max(0, before.leaks - leaks),
                totalClusters,
                allocatedClusters,
                compressedClusters,
                fragmentedClusters,
                endOffset,
                before.findings);
    }
}
