package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.filter.Gate;
import dev.ferry.filter.LatencyWatch;
import dev.ferry.filter.Stats;
import dev.ferry.filter.StatsSnapshot;
import dev.ferry.filter.tracking.Tracker;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A disk that is open: the whole stack, on one loop.
 *
 * <p>Thread: the methods here are for the control plane and may block, except that {@link #front} is touched on the loop
 * only.
 */
public final class OpenDisk {
    private final String name;
    private final DiskLoop loop;
    private final Gate gate;
    private final Tracker tracker;
    private final Stats stats;
    private final BlockDevice front;
    private final FileOpener opener;
    private volatile DiskSide side;

    /** How many users it has; guarded by the stacks that it belongs to. */
    int users = 1;

    OpenDisk(String name, DiskSide side, FileOpener opener) {
        this.name = name;
        this.opener = opener;
        this.loop = side.loop();
        this.side = side;
        this.gate = new Gate(loop.loop(), side.device());
        this.tracker = new Tracker(gate);
        this.stats = new Stats(loop.loop(), tracker);
        this.front = CheckedDevice.of(stats, name);
    }

    public String name() {
        return name;
    }

    public DiskLoop loop() {
        return loop;
    }

    /** What a guest's requests go to. Stays the same while the disk moves. */
    public BlockDevice front() {
        return front;
    }

    /** For reads on Ferry's own account, which are not the guest's: behind what counts those. On the loop. */
    public BlockDevice uncounted() {
        return gate;
    }

    public long sizeBytes() {
        return front.geometry().sizeBytes();
    }

    /** The side that holds the authority. */
    public DiskSide side() {
        return side;
    }

    /** Where the disk is now. */
    public Path path() {
        return side.spec().path();
    }

    /** What marks every change that a guest makes, wherever the disk is or goes meanwhile; on the loop. */
    public Tracker tracker() {
        return tracker;
    }

    /** What guests have asked of this disk since it was opened, and how long it took. */
    public StatsSnapshot stats() throws BlockException {
        return OnLoop.get(loop.loop(), stats::snapshot);
    }

    /** Has every latency of the guest told, until null is given; on the loop. */
    public void watch(@Nullable LatencyWatch listener) {
        stats.watch(listener);
    }

    /** Makes all that was acknowledged durable, and waits for it. */
    public void flush() throws BlockException {
        OnLoop.await(loop.loop(), front::flush);
    }

    /** What opens the files that belong to it. */
    FileOpener opener() {
        return opener;
    }

    /** Where the stack is changed; on the loop. */
    Gate gate() {
        return gate;
    }

    /** Says that another side holds the authority now. */
    void movedTo(DiskSide other) {
        side = other;
    }

    void close() throws BlockException {
        OnLoop.await(loop.loop(), front::close);
    }
}
