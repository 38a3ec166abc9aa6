package dev.ferry.device;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.FileFacts;
import dev.ferry.reactor.IoOperation;
import dev.ferry.reactor.Linux;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A regular file or a block device.
 *
 * <pre>
 *   O_DIRECT   every request through the loop (io_uring, or a worker thread where there is none)
 *   cached     read    what is in memory is copied at once; the rest through the loop
 *              write   short ones are copied into memory at once, while that is quick; the rest through the loop
 *   both       zero, discard, flush through the loop; extents on a worker thread, or from what it found before
 * </pre>
 *
 * <p>A copy into the page cache is a fraction of what a trip through the ring costs, but the kernel may make a writer
 * wait when too much is dirty. A write that took longer than {@link #SLOW_NANOS} sends the following ones through the loop
 * for a while, so that a slow disk holds up itself and not its neighbours.
 *
 * <p>Thread: its loop. The file is opened by a blocking thread, before.
 */
public final class FileDevice implements BlockDevice {
    private static final int INLINE_WRITE_BYTES = 64 << 10;

    /** Of a tool, what is written in such pieces goes on to the disk at once, so that little is left to do when it flushes. */
    private static final int WRITE_OUT_BYTES = 64 << 10;

    private static final long SLOW_NANOS = 2_000_000;
    private static final long WARY_NANOS = 50_000_000;
    private static final int PAGE_BYTES = 4096;
    private static final int MOST_UNIT_BYTES = 64 << 10;

    /** Bound on the length of a file that may grow; file systems have lower ones. */
    private static final long GROWING_BYTES_MAX = 1L << 56;

    private final EventLoop loop;
    private final String name;
    private final int file;
    private final boolean direct;
    private final boolean alone;
    private final boolean inMemory;
    private final Geometry geometry;
    private final Capabilities capabilities;
    private final FileFacts facts;
    private final StoreCopy.Kind storeCopy;
    private final IoBuffer scratch = IoBuffer.allocate(PAGE_BYTES);
    private final KnownData known = new KnownData();
    private long lengthBytes;
    private boolean readsWithoutWaiting = true;
    private boolean tellsPagesInMemory = true;
    private boolean zeroesRanges = true;
    private long waryUntilNanos;
    /** Copies by the store that this file takes part in. */
    private int storeCopies;

    private @Nullable Completion closing;
    private @Nullable FileRequest free;

    private FileDevice(
            EventLoop loop,
            String name,
            int file,
            FileOptions options,
            FileFacts facts,
            StoreCopy.Kind storeCopy,
            long lengthBytes,
            Geometry geometry,
            Capabilities capabilities) {
        this.loop = loop;
        this.lengthBytes = lengthBytes;
        this.name = name;
        this.file = file;
        this.direct = options.direct();
        this.alone = options.alone();
        this.facts = facts;
        this.storeCopy = storeCopy;
        this.inMemory = facts.inMemory();
        this.geometry = geometry;
        this.capabilities = capabilities;
        this.waryUntilNanos = loop.nanoTime();
    }

    /**
     * Opens a file that exists. Blocks.
     *
     * @throws BlockException if it is not there, is neither a file nor a block device, or may not be opened so; {@link
     *     ErrorKind#UNSUPPORTED} where O_DIRECT is asked for and the file system has none
     */
    public static FileDevice open(EventLoop loop, Path path, FileOptions options) throws BlockException {
        return open(loop, path, path.toString(), options);
    }

    /**
     * The same.
     *
     * @param name what errors call it, where that is not its path
     */
    public static FileDevice open(EventLoop loop, Path path, String name, FileOptions options) throws BlockException {
        int flags = (options.readOnly() ? Linux.O_RDONLY : Linux.O_RDWR) | (options.direct() ? Linux.O_DIRECT : 0);
        int file = Linux.open(path.toString(), flags, 0);
        if (file < 0) {
            boolean noDirect = file == -Errno.EINVAL && options.direct();
            throw (noDirect
                            ? BlockError.of(ErrorKind.UNSUPPORTED, name, "open", "no O_DIRECT on this file system")
                            : FileErrors.of(file, name, "open"))
                    .toException();
        }
        try {
            return opened(loop, name, file, options);
        } catch (BlockException failed) {
            ImageLock.release(file);
            Linux.close(file);
            throw failed;
        }
    }

    private static FileDevice opened(EventLoop loop, String name, int file, FileOptions options) throws BlockException {
        FileFacts facts = Linux.facts(file);
        if (facts.error() < 0) {
            throw FileErrors.of(facts.error(), name, "open").toException();
        }
        if (!facts.regular() && !facts.blockDevice()) {
            throw BlockError.of(ErrorKind.INVALID, name, "open", "neither a file nor a block device")
                    .toException();
        }
        if (!options.readOnly() && !options.beside() && ImageLock.takeForWriting(file, ImageLock.PATIENCE_NANOS) < 0) {
            throw BlockError.of(ErrorKind.BUSY, name, "open", "another program writes to it")
                    .toException();
        }
        long sizeBytes = facts.blockDevice() ? Linux.blockDeviceBytes(file) : facts.sizeBytes();
        if (sizeBytes < 0) {
            throw FileErrors.of((int) sizeBytes, name, "open").toException();
        }
        int blockBytes = options.direct() ? directBlockBytes(file, facts, sizeBytes) : 1;
        if (sizeBytes % blockBytes != 0) {
            String detail = "its size of " + sizeBytes + " bytes is not a multiple of the " + blockBytes
                    + " that O_DIRECT needs here; open it through the page cache";
            throw BlockError.of(ErrorKind.UNSUPPORTED, name, "open", detail).toException();
        }
        boolean grows = options.growing() && facts.regular();
        long boundBytes = grows ? GROWING_BYTES_MAX : sizeBytes;
        Geometry geometry = new Geometry(boundBytes, blockBytes, PAGE_BYTES, Geometry.MAX_TRANSFER_BYTES);
        boolean punches = !options.readOnly() && punchesHoles(file, facts, sizeBytes);
        Capabilities capabilities =
                new Capabilities(options.readOnly(), false, punches, punches, punches, facts.regular(), false);
        StoreCopy.Kind storeCopy = options.readOnly() || grows
                ? StoreCopy.Kind.NONE
                : StoreCopy.kindOf(file, facts, sizeBytes, options.direct());
        return new FileDevice(loop, name, file, options, facts, storeCopy, sizeBytes, geometry, capabilities);
    }

    /**
     * What the kernel asks for, and of a file whole pages where its size allows it: a part of a page that is to be zeroed
     * goes through the page cache even here, and must not meet what goes past it.
     */
    private static int directBlockBytes(int file, FileFacts facts, long sizeBytes) {
        if (facts.blockDevice()) {
            long sector = Linux.blockDeviceSectorBytes(file);
            return sector > 0 ? (int) sector : PAGE_BYTES;
        }
        int asked = Math.max(facts.directAlignmentBytes(), facts.directMemoryAlignmentBytes());
        boolean tells = facts.directAlignmentBytes() > 0;
        return tells && sizeBytes % PAGE_BYTES != 0 ? asked : Math.max(asked, PAGE_BYTES);
    }

    /** Tries it where there is nothing: behind the end of a file. A block device says by its kind. */
    private static boolean punchesHoles(int file, FileFacts facts, long sizeBytes) {
        if (facts.blockDevice()) {
            return true;
        }
        long behind = (sizeBytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        return Linux.allocate(file, Linux.FALLOC_PUNCH_HOLE | Linux.FALLOC_KEEP_SIZE, behind, PAGE_BYTES) == 0;
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    // ---- data

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        long address = buffer.address() + at;
        int done = direct ? 0 : readFromMemory(offset, address, length);
        if (done == length) {
            completion.complete(null);
        } else {
            request(FileRequest.Kind.READ, offset, length, completion).transfer(buffer, at, done);
        }
    }

    /** What of a range could be copied at once. */
    private int readFromMemory(long offset, long address, int length) {
        int result;
        if (inMemory) {
            result = Linux.pread(file, address, length, offset);
        } else if (readsWithoutWaiting) {
            result = Linux.preadNoWait(file, address, length, offset, scratch.address());
            if (result == -Errno.EOPNOTSUPP) {
                readsWithoutWaiting = false;
            }
        } else {
            return 0;
        }
        return Math.max(result, 0);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        long address = buffer.address() + at;
        int done = 0;
        if (!direct && (alone || length <= INLINE_WRITE_BYTES) && storeCopies == 0) {
            long before = loop.nanoTime();
            if (alone || before - waryUntilNanos >= 0) {
                done = Math.max(0, Linux.pwrite(file, address, length, offset));
                long after = loop.nanoTime();
                if (after - before > SLOW_NANOS) {
                    waryUntilNanos = after + WARY_NANOS;
                }
                if (alone && !inMemory && done >= WRITE_OUT_BYTES) {
                    Linux.beginWriteOut(file, offset, done);
                }
            }
        }
        if (done == length) {
            completion.complete(null);
        } else {
            request(FileRequest.Kind.WRITE, offset, length, completion).transfer(buffer, at, done);
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        boolean keep = (flags & RequestFlags.NO_HOLE) != 0;
        FileRequest request = request(FileRequest.Kind.ZERO, offset, length, completion);
        if (!keep) {
            request.allocate(Linux.FALLOC_PUNCH_HOLE | Linux.FALLOC_KEEP_SIZE);
        } else if (zeroesRanges) {
            request.allocate(Linux.FALLOC_ZERO_RANGE | Linux.FALLOC_KEEP_SIZE);
        } else {
            request.punchThenAllocate();
        }
    }

    /** Holes are where there may have been data. */
    void holesMade(long offset, long length) {
        known.holes(offset, length);
    }

    /** A file system that can't zero a range in place can free it and take it again. */
    void noRangesOfZeroes() {
        zeroesRanges = false;
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        request(FileRequest.Kind.DISCARD, offset, length, completion)
                .allocate(Linux.FALLOC_PUNCH_HOLE | Linux.FALLOC_KEEP_SIZE);
    }

    @Override
    public void flush(Completion completion) {
        request(FileRequest.Kind.FLUSH, -1, -1, completion).flush();
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (known.endFrom(offset) >= offset + length) {
            sink.extent(offset, length, 0);
            completion.complete(null);
        } else {
            new FileExtents(file, known, offset, length).find(loop, name, sink, completion);
        }
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        if (direct || !tellsPagesInMemory) {
            return false;
        }
        long firstPage = offset / PAGE_BYTES;
        long pages = (offset + length - 1) / PAGE_BYTES - firstPage + 1;
        long present = Linux.pagesInMemory(file, offset, length, scratch.address());
        if (present < 0) {
            tellsPagesInMemory = false;
        }
        if (present < pages) {
            return false;
        }
        range.set(file, offset);
        return true;
    }

    @Override
    public long lengthBytes() {
        return lengthBytes;
    }

    @Override
    public void resize(long newLengthBytes, Completion completion) {
        if (geometry.sizeBytes() != GROWING_BYTES_MAX) {
            completion.complete(BlockError.of(ErrorKind.UNSUPPORTED, name, "resize", "it keeps its length"));
            return;
        }
        IoOperation resized = new IoOperation() {
            @Override
            protected void completed(int result) {
                known.forget();
                if (result == 0) {
                    lengthBytes = newLengthBytes;
                }
                completion.complete(result < 0 ? FileErrors.of(result, name, "resize") : null);
            }
        };
        known.forget();
        loop.offload(() -> Linux.truncate(file, newLengthBytes), resized);
    }

    // ---- copies by the store

    @Override
    public int offloadUnitBytes(BlockDevice source) {
        if (storeCopy == StoreCopy.Kind.NONE
                || !(source.store() instanceof FileDevice from)
                || from == this
                || from.loop != loop
                || !StoreCopy.together(facts, from.facts)
                || (storeCopy == StoreCopy.Kind.RANGE && from.direct)) {
            return 0;
        }
        long unit = Math.max(facts.fileSystemBlockBytes(), PAGE_BYTES);
        int blocks = Math.max(geometry.blockSizeBytes(), from.geometry.blockSizeBytes());
        return Long.bitCount(unit) == 1 && unit <= MOST_UNIT_BYTES ? (int) Math.max(unit, blocks) : 0;
    }

    @Override
    public void copyFrom(BlockDevice source, long offset, long length, Completion completion) {
        if (source.store() instanceof FileDevice from) {
            new StoreCopy(storeCopy, from, this, offset, length, completion).start(loop);
        } else {
            BlockDevice.super.copyFrom(source, offset, length, completion);
        }
    }

    int file() {
        return file;
    }

    /** From here on short writes do not go to the file at once: it may be locked for a while. */
    void storeCopyBegins() {
        storeCopies++;
        known.forget();
    }

    void storeCopyEnded() {
        storeCopies--;
        known.forget();
        Completion waiting = closing;
        if (storeCopies == 0 && waiting != null) {
            closing = null;
            close(waiting);
        }
    }

    /** Once no copy by the store is under way, which the one who closes the source of one may not know of. */
    @Override
    public void close(Completion completion) {
        if (storeCopies > 0) {
            closing = completion;
            return;
        }
        if (!capabilities.readOnly()) {
            ImageLock.release(file);
        }
        int result = Linux.close(file);
        completion.complete(result < 0 ? FileErrors.of(result, name, "close") : null);
    }

    @Override
    public String toString() {
        return name;
    }

    private FileRequest request(FileRequest.Kind kind, long offset, long length, Completion completion) {
        FileRequest request = free;
        if (request == null) {
            request = new FileRequest(this, loop, file, name);
        } else {
            free = request.nextFree;
        }
        request.begin(kind, offset, length, completion);
        if (kind == FileRequest.Kind.ZERO || kind == FileRequest.Kind.DISCARD) {
            known.holes(offset, length);
        }
        return request;
    }

    void recycle(FileRequest request) {
        request.nextFree = free;
        free = request;
    }
}
