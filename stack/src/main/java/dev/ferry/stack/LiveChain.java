package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.filter.Gate;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorListener;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import dev.ferry.image.qcow2.Qcow2Device;
import dev.ferry.image.qcow2.Qcow2Link;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * The chain of a disk that is in use, changed while a guest works on it.
 *
 * <p><b>Commit.</b> The layer that is to get what those above it hold is opened again, to be written, and takes its own place below
 * them; so there is one device for its file, whoever reads or writes. A mirror from the disk to it then brings it into step: a guest's
 * change goes to both. What is written there is always hidden by the layers above, until the guest passes.
 *
 * <p><b>Streaming.</b> The overlay takes over what it has not got; when it has all, its header says so, and what is below is closed.
 *
 * <p>Thread: one of the control plane; calls block.
 */
public final class LiveChain {
    private static final long WINDOW_BYTES = 1L << 30;
    private static final String COMMIT = "commit";

    private final OpenDisk disk;
    private final DiskLoop loop;
    private final DiskSide side;
    private final Qcow2Device overlay;
    private final Chain chain;
    private final List<Qcow2Device> upper = new ArrayList<>();

    private LiveChain(OpenDisk disk, Qcow2Device overlay, Chain chain) {
        this.disk = disk;
        this.loop = disk.loop();
        this.side = disk.side();
        this.overlay = overlay;
        this.chain = chain;
    }

    /** Of a disk that is open for writing; one that is no overlay is refused. */
    public static LiveChain of(OpenDisk disk) throws BlockException {
        Chain chain = Chain.of(disk.loop(), disk.side().spec(), disk.opener());
        if (chain.depth() == 0 || !(disk.side().format() instanceof Qcow2Device overlay)) {
            throw refusal(disk, "it has no backing file");
        }
        return new LiveChain(disk, overlay, chain);
    }

    private static BlockException refusal(OpenDisk disk, String why) {
        return BlockError.of(ErrorKind.INVALID, "disk " + disk.name(), "change the chain", why)
                .toException();
    }

    public Chain chain() {
        return chain;
    }

    public Qcow2Device overlay() {
        return overlay;
    }

    private void atRest(Runnable change) throws BlockException {
        Gate gate = disk.gate();
        CompletableFuture<Boolean> done = new CompletableFuture<>();
        OnLoop.run(
                loop.loop(),
                () -> gate.quiesce(() -> {
                    change.run();
                    gate.resume();
                    done.complete(true);
                }));
        OnLoop.join(done);
    }

    /** Puts something else below the overlay, and closes what was there. */
    private void rebase(@Nullable BlockDevice below) throws BlockException {
        CompletableFuture<@Nullable BlockDevice> before = new CompletableFuture<>();
        atRest(() -> before.complete(overlay.rebase(below)));
        BlockDevice old = OnLoop.join(before);
        if (old != null) {
            OnLoop.await(loop.loop(), old::close);
        }
    }

    // ---- commit

    /**
     * Opens the layer that is to get what is above it, and puts it into its place.
     *
     * @param depth 1 is the layer just below the top
     */
    public DiskSide openBase(int depth) throws BlockException {
        Chain.Layer base = chain.layers().get(depth);
        long sizeBytes = chain.top().sizeBytes();
        if (base.sizeBytes() > sizeBytes) {
            throw refusal(
                    disk,
                    base.path()
                            + " is longer than the disk, whose size would change; make it shorter first: 'ferry image"
                            + " resize'");
        }
        DiskSpec was = side.spec();
        DiskSpec spec = new DiskSpec(
                was.name(),
                base.path(),
                was.provisioning(),
                false,
                was.direct(),
                base.spec().format());
        if (base.sizeBytes() < disk.sizeBytes()) {
            ImageChanges.resize(loop, spec, disk.opener(), disk.sizeBytes());
        }
        DiskSide opened = DiskSide.open(loop, spec, disk.opener());
        BlockDevice below = new Borrowed(opened.device());
        try {
            for (int i = depth - 1; i > 0; i--) {
                below = between(chain.layers().get(i).spec(), below);
            }
            rebase(below);
            return opened;
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), below::close);
            opened.close();
            throw failed;
        }
    }

    private BlockDevice between(DiskSpec spec, BlockDevice below) throws BlockException {
        BlockDevice file = CheckedDevice.of(disk.opener().open(loop, spec), spec.shownAs());
        try {
            Qcow2Device image = (Qcow2Device) Images.overlay(loop, spec, file, below, disk.opener());
            upper.add(image);
            return CheckedDevice.of(image, spec.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }

    /**
     * After {@link #openBase}: puts a mirror in whose target is that layer. All is in step there but what the layers above hold.
     */
    public LiveMirror mirror(DiskSide base, MirrorSettings settings, MirrorListener listener) throws BlockException {
        DirtyBitmap held = new DirtyBitmap(disk.sizeBytes(), settings.regionBytes());
        Tracker tracker = new Tracker(side.device());
        tracker.add(COMMIT, held);
        atRest(() -> disk.gate().replace(tracker));
        try {
            note(overlay, held);
            for (Qcow2Device image : upper) {
                note(image, held);
                long end = image.geometry().sizeBytes();
                if (end < disk.sizeBytes()) {
                    OnLoop.run(loop.loop(), () -> held.set(end, disk.sizeBytes() - end));
                }
            }
            return LiveMirror.insertAtRest(disk, base, settings, listener, (on, source, target, how, told, steps) -> {
                Mirror mirror = new Mirror(on, source, target, how, told, steps);
                for (long region = 0; region < mirror.regions(); region++) {
                    if (!held.isDirty(mirror.regionOffset(region), mirror.regionLength(region))) {
                        mirror.inStep(region);
                    }
                }
                return mirror;
            });
        } catch (BlockException | RuntimeException failed) {
            atRest(() -> disk.gate().replace(side.device()));
            throw failed;
        }
    }

    /** Marks what an image holds itself. */
    private void note(Qcow2Device image, DirtyBitmap held) throws BlockException {
        long size = Math.min(disk.sizeBytes(), image.geometry().sizeBytes());
        long[] position = {0};
        ExtentSink sink = (offset, length, state) -> {
            if (state != ExtentSink.HOLE) {
                held.set(offset, length);
            }
            position[0] = offset + length;
        };
        while (position[0] < size) {
            OnLoop.await(
                    loop.loop(),
                    done -> image.ownExtents(position[0], Math.min(WINDOW_BYTES, size - position[0]), sink, done));
        }
    }

    /** The commit is not to be, and its mirror is out: the layer that was to get all is closed, and only read again. */
    public void closeBase(DiskSide base) throws BlockException {
        Chain.Layer next = chain.layers().get(1);
        base.flush();
        rebase(opened(next.spec()));
        base.close();
    }

    /** A layer to be read, with all that it lies over. */
    private BlockDevice opened(DiskSpec spec) throws BlockException {
        BlockDevice file = CheckedDevice.of(disk.opener().open(loop, spec), spec.shownAs());
        try {
            return CheckedDevice.of(Images.on(loop, spec, file, disk.opener()), spec.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }

    // ---- streaming

    /**
     * What the layers down to one hold, to be asked for extents: a hole that is no zero is what they have not got.
     *
     * @param depth the layer that stays below the overlay; 0: none does
     */
    public BlockDevice between(int depth) throws BlockException {
        if (depth == 0) {
            return opened(chain.layers().get(1).spec());
        }
        long baseBytes = chain.layers().get(depth).sizeBytes();
        for (int i = 1; i < depth; i++) {
            if (chain.layers().get(i).sizeBytes() < Math.min(disk.sizeBytes(), baseBytes)) {
                throw refusal(
                        disk,
                        chain.layers().get(i).path() + " is shorter than "
                                + chain.layers().get(depth).path() + ", which would show through behind its end");
            }
        }
        BlockDevice below = new Below(Geometry.ofBytes(baseBytes));
        for (int i = depth - 1; i > 0; i--) {
            below = between(chain.layers().get(i).spec(), below);
        }
        return below;
    }

    /**
     * The overlay has all that it had not got: makes that durable, says in its header what it lies over now, and closes what it does
     * not lie over any more.
     *
     * @param depth the layer that stays below; 0: none
     */
    public void link(int depth) throws BlockException {
        disk.flush();
        DeviceBytes header = new DeviceBytes(
                loop.loop(), Images.anyBytes(loop, side.file()), side.spec().shownAs());
        if (depth == 0) {
            Qcow2Link.drop(header);
            rebase(null);
            return;
        }
        DiskSpec spec = chain.layers().get(depth).spec();
        Path directory = Objects.requireNonNull(side.spec().path().getParent());
        BlockDevice below = opened(spec);
        try {
            String named = realDirectory(directory).relativize(spec.path()).toString();
            Qcow2Link.to(header, named, spec.format().qemuText());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), below::close);
            throw failed;
        }
        rebase(below);
    }

    private Path realDirectory(Path directory) throws BlockException {
        try {
            return directory.toRealPath();
        } catch (IOException gone) {
            throw refusal(disk, directory + " is not there: " + gone.getMessage());
        }
    }
}
