package dev.ferry.server.api;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Move disks to another datastore.
 *
 * @param target name of the datastore
 * @param mode {@code mirror}, {@code tracking} or {@code snapshot}
 * @param format {@code raw}, {@code qcow2}, {@code vmdk}, {@code vhd} or {@code vhdx}, or null for that of each disk
 * @param provisioning {@code thin}, {@code lazy}, {@code eager}, or null for that of each disk
 * @param shape of the qcow2 images that they become; null: those that are qcow2 images keep theirs
 * @param bytesPerSecond bound on the copy, 0 for none
 * @param maxAddedLatencyMillis how much the move may add to the 99th percentile of a guest's latency, 0 for no bound
 * @param floorBytesPerSecond what is copied in any case when that is bounded, 0 for the default
 * @param maxDowntimeMillis how long a guest may be held for the last of the copy, in other modes than {@code mirror}; 0 for the default
 * @param mirror {@code sync} or {@code trailing}, or null to choose by the target's latency
 * @param verify read and digest both sides before the switch
 * @param keepSource leave the source files where they are
 * @param graceMillis how long to keep the way back open after the switch, 0 for not at all, -1 until a commit
 * @param withSnapshots move what the disks lie over too, each file once, and have them lie over it there, and their internal snapshots;
 *     else they are flattened; null: false
 * @param dropSnapshots leave internal snapshots behind, though they go with the old file; null: false
 * @param dryRun only say what would happen
 */
public record MigrateRequest(
        List<String> disks,
        String target,
        String mode,
        @Nullable String format,
        @Nullable String provisioning,
        @Nullable DiskShape shape,
        long bytesPerSecond,
        double maxAddedLatencyMillis,
        long floorBytesPerSecond,
        double maxDowntimeMillis,
        @Nullable String mirror,
        boolean verify,
        boolean keepSource,
        long graceMillis,
        @Nullable Boolean withSnapshots,
        @Nullable Boolean dropSnapshots,
        boolean dryRun) {}
