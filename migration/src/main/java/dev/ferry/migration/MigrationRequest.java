package dev.ferry.migration;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What somebody wants moved.
 *
 * @param disks names, at least one, none twice
 * @param targetDatastore name of where they are to go
 * @param format what they are to become; null: what they are
 * @param provisioning likewise
 * @param rateBytesPerSecond bound on the copying of the whole move; 0: none
 * @param verify both sides are read and compared before the switch
 * @param keepSource the source's file stays when the move is done
 */
public record MigrationRequest(
        List<String> disks,
        String targetDatastore,
        @Nullable ImageFormat format,
        @Nullable Provisioning provisioning,
        long rateBytesPerSecond,
        boolean verify,
        boolean keepSource) {
    public MigrationRequest {
        disks = List.copyOf(disks);
    }

    /** One that leaves formats as they are. */
    public MigrationRequest(
            List<String> disks,
            String targetDatastore,
            @Nullable Provisioning provisioning,
            long rateBytesPerSecond,
            boolean verify,
            boolean keepSource) {
        this(disks, targetDatastore, null, provisioning, rateBytesPerSecond, verify, keepSource);
    }

    /** As the command line has it without options: verified, as fast as it goes, the source deleted. */
    public static MigrationRequest of(String disk, String targetDatastore) {
        return new MigrationRequest(List.of(disk), targetDatastore, null, 0, true, false);
    }
}
