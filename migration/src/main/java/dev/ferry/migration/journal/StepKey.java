package dev.ferry.migration.journal;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * What a record of regions belongs to; it means nothing for anything else.
 *
 * @param move id of the migration
 * @param disk which of its disks, from 0
 * @param sourceIdentity of the source's file
 * @param targetIdentity of the target's file
 * @param sizeBytes size of the disk
 * @param regionBytes size of a region
 */
public record StepKey(
        String move, int disk, String sourceIdentity, String targetIdentity, long sizeBytes, int regionBytes) {
    /** How many regions there are. */
    public long regions() {
        return (sizeBytes + regionBytes - 1) / regionBytes;
    }

    byte[] digest() {
        try {
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            String all = String.join("\n", move, Integer.toString(disk), sourceIdentity, targetIdentity);
            return sha.digest(all.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
