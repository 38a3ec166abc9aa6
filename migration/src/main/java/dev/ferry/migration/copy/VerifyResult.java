package dev.ferry.migration.copy;

import java.util.List;

/**
 * What a verifier found.
 *
 * @param sourceDigest SHA-256, in hex, over the SHA-256 of each region of the source in order
 * @param targetDigest the same of the target
 * @param equal the digests are
 * @param differences the first ranges that differ
 * @param bytes how much was looked at
 */
public record VerifyResult(
        String sourceDigest, String targetDigest, boolean equal, List<DifferingRange> differences, long bytes) {
    public VerifyResult {
        differences = List.copyOf(differences);
    }
}
