package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.filter.Aligner;
import dev.ferry.filter.Slice;
import dev.ferry.image.Overlay;
import java.nio.file.Path;
import java.util.concurrent.locks.LockSupport;

/**
 * The part of a stack that stands for one place where a disk's bytes are: boundary, format, boundary, file, and an
 * aligner on top where the file takes whole blocks only. A disk
 * has one; while it moves, it has two.
 *
 * <p>Made and closed by the control plane; its device belongs to the loop.
 */
public final class DiskSide {
    private static final int LOCK_ATTEMPTS_MAX = 100;
    private static final long LOCK_WAIT_NANOS = 20_000_000;

    private final DiskLoop loop;
    private volatile DiskSpec spec;
    private final BlockDevice file;
    private final BlockDevice format;
    private final BlockDevice device;

    private DiskSide(DiskLoop loop, DiskSpec spec, BlockDevice file, BlockDevice format, BlockDevice device) {
        this.loop = loop;
        this.spec = spec;
        this.file = file;
        this.format = format;
        this.device = device;
    }

    /** Puts a format on a file. */
    @FunctionalInterface
    private interface Layer {
        BlockDevice on(BlockDevice file) throws BlockException;
    }

    /** Opens a file and puts its format on top. Blocks. */
    static DiskSide open(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return open(loop, spec, opener, file -> Images.on(loop, spec, file, opener));
    }

    /** Opens what a disk was when an internal snapshot was made, to be read. Blocks. */
    static DiskSide openSnapshot(DiskLoop loop, DiskSpec spec, FileOpener opener, String snapshot)
            throws BlockException {
        DiskSpec read = spec.asReadOnly();
        return open(loop, read, opener, file -> Images.snapshotOn(loop, read, file, opener, snapshot));
    }

    private static DiskSide open(DiskLoop loop, DiskSpec spec, FileOpener opener, Layer layer) throws BlockException {
        String name = spec.shownAs();
        BlockDevice file = CheckedDevice.of(openFile(loop, spec, opener), name);
        try {
            BlockDevice format = layer.on(file);
            BlockDevice device = CheckedDevice.of(format, spec.name() + " in " + name);
            BlockDevice bytes = device.geometry().blockSizeBytes() == 1 ? device : new Aligner(device, loop.buffers());
            long saidBytes = bytes.geometry().sizeBytes();
            long sizeBytes = spec.sizeBytes(saidBytes);
            // What a format has rounded up is not the guest's.
            BlockDevice whole = sizeBytes < saidBytes ? new Slice(bytes, 0, sizeBytes) : bytes;
            return new DiskSide(loop, spec, file, format, whole);
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }

    /**
     * The locks of a process that was killed go when the kernel has taken its rings apart, which is a little after the
     * process itself is gone: who starts in its place has to wait for that.
     */
    static BlockDevice openFile(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        for (int attempt = 1; ; attempt++) {
            try {
                return opener.open(loop, spec);
            } catch (BlockException e) {
                if (e.kind() != ErrorKind.BUSY || attempt == LOCK_ATTEMPTS_MAX) {
                    throw e;
                }
                LockSupport.parkNanos(LOCK_WAIT_NANOS);
            }
        }
    }

    public DiskSpec spec() {
        return spec;
    }

    public DiskLoop loop() {
        return loop;
    }

    /** The disk's bytes; touched on the loop only. */
    public BlockDevice device() {
        return device;
    }

    /** The format itself, without the boundary above it. */
    BlockDevice format() {
        return format;
    }

    /** The file below the format; touched on the loop only. */
    public BlockDevice file() {
        return file;
    }

    public long sizeBytes() {
        return device.geometry().sizeBytes();
    }

    /** How much of it may show through from what it lies over, from the beginning on; 0 where it has none. */
    public long belowBytes() {
        return format instanceof Overlay over ? Math.min(sizeBytes(), over.belowBytes()) : 0;
    }

    /** Its file has got another name. */
    void published(Path path) {
        spec = spec.at(path, spec.provisioning());
    }

    /** Makes all that was acknowledged durable, and waits for it. */
    public void flush() throws BlockException {
        OnLoop.await(loop.loop(), device::flush);
    }

    /** Closes it, when no request is in flight any more. Does not flush. */
    public void close() throws BlockException {
        OnLoop.await(loop.loop(), device::close);
    }
}
