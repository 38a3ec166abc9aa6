package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.qcow2.Qcow2Settings;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.reactor.Linux;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.OnLoop;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.atomic.AtomicBoolean;

/** The event loops of a process, each with the memory that its disks' requests use. Any thread; calls block. */
public final class DataPlane implements AutoCloseable {
    /** Real files, through the page cache or past it. */
    public static final FileOpener FILES = (loop, spec) -> FileDevice.open(
            loop.events(),
            spec.path(),
            spec.shownAs(),
            new FileOptions(spec.readOnly(), spec.pastTheCache(), spec.format().grows()));

    /** The same, for a tool that serves nobody: its loop waits for what it writes. */
    public static final FileOpener FILES_ALONE = (loop, spec) -> FileDevice.open(
            loop.events(),
            spec.path(),
            spec.shownAs(),
            new FileOptions(spec.readOnly(), spec.pastTheCache(), spec.format().grows(), true, false));

    /** The same, of files that another loop of the tool has open already. */
    public static final FileOpener FILES_BESIDE = (loop, spec) -> FileDevice.open(
            loop.events(),
            spec.path(),
            spec.shownAs(),
            new FileOptions(spec.readOnly(), spec.pastTheCache(), spec.format().grows(), true, true));

    /** Memory that the kernel is told of, and keeps mapped; what most requests use. */
    private static final long SLAB_BYTES = 16L << 20;

    private static final long POOL_BYTES_MAX = 512L << 20;

    /** Of planes that are closed. Their memory lives as long as the process, so those that are started next have it. */
    private static final Deque<BufferPool> IDLE_POOLS = new ConcurrentLinkedDeque<>();

    private final EventLoops loops;
    private final List<DiskLoop> diskLoops;
    private final AtomicBoolean closed = new AtomicBoolean();

    private DataPlane(EventLoops loops, List<DiskLoop> diskLoops) {
        this.loops = loops;
        this.diskLoops = List.copyOf(diskLoops);
    }

    /**
     * For a tool, or a test: the kernel is told of no memory, which takes a while that a short run does not earn back.
     *
     * @param threads how many loops; 0: as many as this process has processors
     * @throws UnsupportedOperationException if a kind is asked for that this kernel has not; the message says why
     */
    public static DataPlane start(int threads, EventLoops.Kind kind) throws BlockException {
        return start(threads, kind, Qcow2Settings.DEFAULT.mapBytes(), false);
    }

    /**
     * For a server.
     *
     * @param threads how many loops; 0: as many as this process has processors
     * @param tableBytes bound on the memory for the tables of each qcow2 disk
     * @throws UnsupportedOperationException if a kind is asked for that this kernel has not; the message says why
     */
    public static DataPlane start(int threads, EventLoops.Kind kind, long tableBytes) throws BlockException {
        return start(threads, kind, tableBytes, true);
    }

    private static DataPlane start(int threads, EventLoops.Kind kind, long tableBytes, boolean registers)
            throws BlockException {
        int count = threads == 0 ? Runtime.getRuntime().availableProcessors() : threads;
        EventLoops loops = EventLoops.start(count, kind);
        List<DiskLoop> diskLoops = new ArrayList<>();
        for (EventLoop events : loops.all()) {
            ReactorLoop loop = new ReactorLoop(events);
            BufferPool buffers = OnLoop.get(loop, () -> {
                BufferPool idle = IDLE_POOLS.pollFirst();
                BufferPool pool = idle != null ? idle : new BufferPool(Linux.pages(), SLAB_BYTES, POOL_BYTES_MAX);
                if (registers) {
                    events.registerMemory(pool.slab().address(), pool.slab().byteSize());
                }
                return pool;
            });
            diskLoops.add(new DiskLoop(events, loop, buffers, tableBytes));
        }
        return new DataPlane(loops, diskLoops);
    }

    public List<DiskLoop> loops() {
        return diskLoops;
    }

    /** The loop that listeners are on. */
    public EventLoop listening() {
        return diskLoops.getFirst().events();
    }

    /** What runs here: {@code io_uring}, or {@code epoll} and why. */
    public String report() {
        return loops.report();
    }

    @Override
    public void close() {
        loops.close();
        // Once, however often this is called: no two planes may have the same memory.
        if (!closed.getAndSet(true)) {
            diskLoops.forEach(loop -> IDLE_POOLS.addFirst(loop.buffers()));
        }
    }
}
