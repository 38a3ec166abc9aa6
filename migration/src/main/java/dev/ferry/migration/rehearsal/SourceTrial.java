package dev.ferry.migration.rehearsal;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.filter.StatsSnapshot;
import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.LiveSnapshots;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Looks what a disk holds, reads samples of it, and hears what its guest does. The disk is not changed; one that is open is
 * read behind what counts the guest's requests. Closed after use.
 *
 * <p>Thread: one of the control plane; calls block.
 */
final class SourceTrial implements AutoCloseable {
    private static final int SAMPLE_BYTES = 1 << 20;
    private static final int SAMPLES_MAX = 48;
    private static final long READ_NANOS_MAX = 400_000_000L;
    private static final long MAP_NANOS_MAX = 1_500_000_000L;
    private static final double NANOS = 1e9;

    /**
     * What a guest does.
     *
     * @param bytesPerSecond what it writes
     * @param requestsPerSecond of any kind
     * @param writeMillis how long its writes take now; null if it does not write
     */
    record Guest(
            double bytesPerSecond,
            double requestsPerSecond,
            @Nullable Range writeMillis) {
        static final double AT_WORK_PER_SECOND = 1;

        boolean atWork() {
            return requestsPerSecond >= AT_WORK_PER_SECOND;
        }
    }

    private final Stacks stacks;
    private final @Nullable OpenDisk open;
    private final @Nullable DiskSide alone;
    private final Loop loop;
    private final BlockDevice device;
    /** What it lies over is not copied with it, but as a file. */
    private final boolean layered;

    /** The disk, if its snapshots go with it. */
    private final @Nullable DiskSpec snapshotsOf;

    private final @Nullable StatsSnapshot before;
    private @Nullable Long snapshotBytes;

    SourceTrial(Stacks stacks, Outlook.Disk disk) throws BlockException {
        this.stacks = stacks;
        this.layered = disk.plan().backing() != null;
        this.snapshotsOf = disk.plan().snapshots().isEmpty() ? null : disk.spec();
        Optional<OpenDisk> found = stacks.find(disk.spec().name());
        if (found.isPresent()) {
            OpenDisk joined = stacks.acquire(disk.spec());
            open = joined;
            alone = null;
            loop = joined.loop().loop();
            device = joined.uncounted();
            before = joined.stats();
        } else {
            DiskSide side = stacks.openAlone(disk.spec().asReadOnly());
            open = null;
            alone = side;
            loop = side.loop().loop();
            device = side.device();
            before = null;
        }
    }

    DiskLoop diskLoop() {
        return open == null ? Objects.requireNonNull(alone).loop() : open.loop();
    }

    /** The disk without what is in front of it, which a store may copy from. */
    BlockDevice sideDevice() {
        return open == null
                ? Objects.requireNonNull(alone).device()
                : open.side().device();
    }

    /** True if the guest has been asking for something lately. */
    boolean guestAtWork() {
        StatsSnapshot first = before;
        return first != null && recent(first) > 0;
    }

    private static long recent(StatsSnapshot stats) {
        return stats.read().recent().count()
                + stats.write().recent().count()
                + stats.flush().recent().count();
    }

    /** By its map. */
    Contents contents() throws BlockException {
        DiskSpec disk = snapshotsOf;
        return disk == null ? Contents.of(loop, device, layered, MAP_NANOS_MAX) : besideSnapshots(disk);
    }

    /** The file is opened once more: what the guest's own disk is compared with is none of a rehearsal's business. */
    private Contents besideSnapshots(DiskSpec disk) throws BlockException {
        DiskSide side = stacks.openAlone(disk.asReadOnly(), diskLoop());
        try {
            LiveSnapshots.share(side);
            snapshotBytes = LiveSnapshots.of(side, null).keptBytes();
            return Contents.of(loop, side.device(), true, MAP_NANOS_MAX);
        } finally {
            side.close();
        }
    }

    /** What would be copied for its snapshots; null: they do not go with it. After {@link #contents}. */
    @Nullable
    Long snapshotBytes() {
        return snapshotBytes;
    }

    /** Reads samples of the data; none if there is none. */
    Times read(Contents contents) throws BlockException {
        int length = (int) Math.min(SAMPLE_BYTES, device.geometry().sizeBytes());
        List<Long> places = contents.samples(SAMPLES_MAX, length);
        IoBuffer buffer = IoBuffer.allocate(length);
        return TimedRequests.run(
                loop,
                places.size(),
                READ_NANOS_MAX,
                guestAtWork(),
                length,
                (number, ended) -> device.read(places.get(number), buffer, 0, length, ended));
    }

    /** What the guest has done since this trial began; null if the disk is not open. */
    @Nullable
    Guest guest() throws BlockException {
        OpenDisk disk = open;
        StatsSnapshot first = before;
        if (disk == null || first == null) {
            return null;
        }
        StatsSnapshot now = disk.stats();
        double seconds = Math.max(1, now.elapsedNanos() - first.elapsedNanos()) / NANOS;
        StatsSnapshot.Latency writes = now.write().recent();
        return new Guest(
                (now.write().bytes() - first.write().bytes()) / seconds,
                (now.count() - first.count()) / seconds,
                writes.count() == 0 ? null : new Range(writes.p50Nanos() / 1e6, writes.p99Nanos() / 1e6));
    }

    @Override
    public void close() throws BlockException {
        if (open != null) {
            stacks.release(open);
        }
        if (alone != null) {
            alone.close();
        }
    }
}
