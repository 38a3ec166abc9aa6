package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import dev.ferry.image.Overlay;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A part of a disk whose grains lie anywhere in a file, and which takes changes: what was never written gets a grain at the
 * end of the file. A grain that is there stays there; zeroes and discards make holes in the file below it. Of two requests
 * that want the same new grain the second waits until it is there. In a delta what is below shows through where no grain is; a
 * new grain gets what it shows there where the request does not fill it, and zeroes are written down.
 *
 * <p>Thread: the disk's loop. Errors are those of the file, and {@code CORRUPT} where the map is damaged. Expects the checked
 * boundary above and below. A request to grains that are there, and whose table was the last in use, allocates nothing.
 */
public final class GrowingExtent implements BlockDevice, Overlay {
    final Loop loop;
    final BlockDevice file;
    final GrowingMap map;
    final String name;
    final int grainBytes;
    private final Geometry geometry;
    private final Capabilities capabilities;
    private final SparseExtent layout;
    final @Nullable Below below;
    final SharedFlush durable;
    private final ArrayDeque<CopyUp> freeCopies = new ArrayDeque<>();
    private final List<GrowingRequest> allocating = new ArrayList<>();
    private final ArrayDeque<GrowingRequest> waiting = new ArrayDeque<>();
    private @Nullable GrowingRequest free;
    boolean growing;
    private boolean waking;
    private boolean wakeAgain;

    /** @param file one that takes any offset and length, and grows */
    public GrowingExtent(Loop loop, String name, BlockDevice file, long sizeBytes, int grainBytes, GrowingMap map) {
        this(loop, name, file, sizeBytes, grainBytes, map, null);
    }

    /**
     * One that is a delta, or may be.
     *
     * @param below what shows through where no grain is; closing this does not close it
     */
    public GrowingExtent(
            Loop loop,
            String name,
            BlockDevice file,
            long sizeBytes,
            int grainBytes,
            GrowingMap map,
            @Nullable Below below) {
        this.loop = loop;
        this.name = name;
        this.file = file;
        this.map = map;
        this.grainBytes = grainBytes;
        this.geometry = Geometry.ofBytes(sizeBytes);
        this.capabilities =
                new Capabilities(false, false, true, file.capabilities().fastZero(), true, true, false);
        this.layout = new SparseExtent(name, file, sizeBytes, grainBytes, map, below);
        this.below = below;
        this.durable = new SharedFlush(file);
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    private GrowingRequest request() {
        GrowingRequest request = free;
        if (request == null) {
            return new GrowingRequest(this);
        }
        free = request.nextFree;
        return request;
    }

    void free(GrowingRequest request) {
        request.nextFree = free;
        free = request;
    }

    CopyUp copyUp() {
        CopyUp copy = freeCopies.poll();
        return copy == null ? new CopyUp(this) : copy;
    }

    void free(CopyUp copy) {
        freeCopies.add(copy);
    }

    long sizeBytes() {
        return geometry.sizeBytes();
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        request().begin(GrowingRequest.READ, offset, length, buffer, at, 0, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        request().begin(GrowingRequest.WRITE, offset, length, buffer, at, 0, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        int kept = flags & (RequestFlags.NO_HOLE | RequestFlags.FAST_ZERO);
        request().begin(GrowingRequest.ZERO, offset, length, null, 0, kept, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        request().begin(GrowingRequest.DISCARD, offset, length, null, 0, 0, completion);
    }

    @Override
    public void flush(Completion completion) {
        file.flush(completion);
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        layout.extents(offset, length, sink, completion);
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        layout.ownExtents(offset, length, sink, completion);
    }

    @Override
    public long belowBytes() {
        return layout.belowBytes();
    }

    // ---- new grains

    /** True while a request gives a grain its place. */
    boolean inTheMaking(long grain) {
        for (int i = 0; i < allocating.size(); i++) {
            if (allocating.get(i).makes(grain)) {
                return true;
            }
        }
        return false;
    }

    void makes(GrowingRequest request) {
        allocating.add(request);
    }

    /** Grains that one made are there, or are not to be. */
    void unmake(GrowingRequest request) {
        allocating.remove(request);
    }

    /** Has one wait until something changes. */
    void park(GrowingRequest request) {
        waiting.add(request);
    }

    /**
     * Those that wait look again; whoever has to wait on does so behind them. What one of them does may end at once, and wake
     * the others again: that is done by a further round, and not from within this one.
     */
    void wake() {
        wakeAgain = true;
        if (waking) {
            return;
        }
        waking = true;
        while (wakeAgain) {
            wakeAgain = false;
            for (int left = waiting.size(); left > 0; left--) {
                waiting.remove().complete(null);
            }
        }
        waking = false;
    }

    @Override
    public void close(Completion completion) {
        map.settle(settled -> file.close(closed -> completion.complete(settled == null ? closed : settled)));
    }
}
