package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.Geometry;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import dev.ferry.image.KeptZeroes;
import dev.ferry.image.Overlay;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * A disk in format qcow2, version 2 or 3.
 *
 * <p><b>What a crash leaves.</b> Between any two writes, with any of those lost that no flush has followed: an image that
 * is sound, and at most clusters that are counted and used by nobody. No journal, and next to no flushes, are needed
 * for that, because of three rules:
 * <ol>
 *   <li>A cluster is handed out only when it is durable that it counts one and reads as zeroes ({@link Reserve}). So the
 *       map may point at it before, after or without its data: it always points at zeroes or at the data.
 *   <li>Where a cluster had other content before, that of a backing file, a snapshot or a compressed cluster, the new one
 *       is filled and flushed before the map points at it ({@link ClusterCopy}).
 *   <li>A cluster that the map does not point at any more is counted down, or used again, only when that is durable
 *       ({@link Recycler}).
 * </ol>
 *
 * <p>A request that changed the map ends when the change is in the file ({@link MapWriter}), though not durable before a
 * flush: so what was acknowledged outlives the end of this process, as it does with a raw file, and a flush is one flush
 * of the file.
 *
 * <p><b>Data</b> goes straight between the caller's buffer and the file, one request for as many clusters as lie side by
 * side. Thread: the disk's loop. Expects the checked boundary above and below.
 */
public final class Qcow2Device implements BlockDevice, Overlay {
    /** Of tables of snapshots that are kept in memory. */
    private static final long COMPARED_BYTES = 1 << 20;

    final Loop loop;
    final BlockDevice file;
    /** What data lies in: the same, or a file of its own. */
    final BlockDevice store;
    /** It is a file of its own. */
    final boolean external;

    @Nullable
    BlockDevice backing;

    final BufferPool buffers;
    final String name;
    final L1Table l1;
    final MapCache cache;
    final MapWriter map;
    final Metadata metadata = new Metadata();
    final Refcounts refcounts;
    final Recycler recycler;
    final Reserve reserve;
    final PackedClusters packed;
    final Copies copies;
    final boolean flagged;
    /** Clusters are allocated in {@link Subclusters}. */
    final boolean extended;

    final boolean keepAllocated;
    final int clusterBits;
    /** Of what is allocated at once. */
    final int partBits;

    final int tableBits;
    final int sliceBits;
    final long clusterMask;
    final long sizeBytes;
    private long backingBytes;
    private final Geometry geometry;
    private final Capabilities capabilities;
    private final Qcow2Header header;
    private @Nullable Compared compared;
    private @Nullable ReadRequest freeReader;
    private @Nullable ChangeRequest freeChange;

    /** What its disk is compared with. */
    private record Compared(SnapshotTables with, L1Table l1, MapCache cache) {}

    /** One whose data is in the same file. */
    public Qcow2Device(
            Loop loop,
            BlockDevice file,
            Qcow2Image image,
            @Nullable BlockDevice backing,
            BufferPool buffers,
            Executor workers,
            Qcow2Settings settings) {
        this(loop, file, file, image, backing, buffers, workers, settings);
    }

    /**
     * @param file the checked file that {@code image} was opened from; may grow, if the image is to be written
     * @param store the checked file that its data is in: the same, or where it names one, that; as long as the disk, if the image is
     *     to be written
     * @param backing what the image is an overlay of, opened by whoever decides what may be; null if there is none
     * @param buffers the pool of the disk's loop
     * @param workers where compressed clusters are unpacked
     */
    public Qcow2Device(
            Loop loop,
            BlockDevice file,
            BlockDevice store,
            Qcow2Image image,
            @Nullable BlockDevice backing,
            BufferPool buffers,
            Executor workers,
            Qcow2Settings settings) {
        Qcow2Header header = image.header;
        Invariant.that((file != store) == header.external(), "a data file for an image that has one");
        this.header = header;
        this.loop = loop;
        this.file = file;
        this.store = store;
        this.external = header.external();
        this.backing = backing;
        this.buffers = buffers;
        this.name = image.name;
        this.flagged = header.flagged();
        this.extended = header.extended();
        this.keepAllocated = settings.keepAllocated();
        this.clusterBits = header.clusterBits();
        this.partBits = extended ? clusterBits - Subclusters.BITS : clusterBits;
        this.tableBits = Integer.numberOfTrailingZeros(header.tableEntries());
        this.clusterMask = header.clusterBytes() - 1;
        this.sizeBytes = header.sizeBytes();
        this.backingBytes = backing == null ? 0 : backing.geometry().sizeBytes();
        this.l1 = new L1Table(image.l1, header.l1Offset(), tableBits, header.entryBytes());
        this.cache = new MapCache(file, l1, header, settings.mapBytes());
        this.sliceBits = Integer.numberOfTrailingZeros(cache.sliceEntries());
        this.map = new MapWriter(loop, file, l1, cache);
        this.refcounts = new Refcounts(file, image);
        this.recycler = new Recycler(loop, file, refcounts, clusterBits);
        this.reserve = new Reserve(file, refcounts, metadata, recycler, image, settings.reserveBytes());
        this.recycler.connect(reserve, map);
        this.packed = new PackedClusters(file, loop, workers, image);
        this.copies = new Copies(this);
        Geometry below = store.geometry();
        this.geometry =
                new Geometry(sizeBytes, settings.blockBytes(), below.preferredBytes(), below.maxTransferBytes());
        boolean readOnly = image.readOnly || file.capabilities().readOnly();
        this.capabilities = new Capabilities(
                readOnly,
                false,
                true,
                store.capabilities().fastZero(),
                true,
                true,
                store.capabilities().rotational());
        if (!readOnly) {
            markMetadata(image);
        }
    }

    private void markMetadata(Qcow2Image image) {
        Qcow2Header header = image.header;
        metadata.addRange(header.l1Offset(), header.l1Entries() * 8L, clusterBits);
        metadata.addRange(
                header.refcountTableOffset(), (long) header.refcountTableClusters() << clusterBits, clusterBits);
        metadata.addRange(header.snapshotOffset(), image.snapshotTableBytes, clusterBits);
        metadata.addRange(image.bitmaps.offset(), image.bitmaps.bytes(), clusterBits);
        for (long entry : image.l1) {
            metadata.add(hostOffset(entry) >>> clusterBits);
        }
        for (long entry : image.refcountTable) {
            metadata.add(entry >>> clusterBits);
        }
        for (Snapshot snapshot : image.snapshots) {
            metadata.addRange(snapshot.l1Offset(), snapshot.l1Entries() * 8L, clusterBits);
        }
        for (StoredBitmap bitmap : image.bitmaps.bitmaps()) {
            metadata.addRange(bitmap.tableOffset(), bitmap.tableEntries() * 8L, clusterBits);
        }
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    @Override
    public Capabilities capabilities() {
        return capabilities;
    }

    /** Bytes of L2 tables in memory at this moment. */
    public long mapBytes() {
        return cache.bytes();
    }

    // ---- requests

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        reader().read(offset, length, buffer, at, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        change().write(offset, length, buffer, at, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        zero(offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        zero(offset, length, flags, completion);
    }

    private void zero(long offset, long length, int flags, Completion completion) {
        if (keepAllocated) {
            Completion end = new KeptZeroes(this, offset, length, 0, completion);
            change().zero(offset, length, flags | RequestFlags.NO_HOLE, end);
        } else {
            change().zero(offset, length, flags, completion);
        }
    }

    /** What was acknowledged is in the file; what a failed request left unwritten of the map is tried again first. */
    @Override
    public void flush(Completion completion) {
        if (map.clean()) {
            flushFiles(completion);
        } else {
            map.join(new Waiter() {
                @Override
                void resume(@Nullable BlockError error) {
                    mapWritten(error);
                }

                @Override
                void mapWritten(@Nullable BlockError error) {
                    if (error != null) {
                        completion.complete(error);
                    } else {
                        flushFiles(completion);
                    }
                }
            });
        }
    }

    private void flushFiles(Completion completion) {
        if (!external) {
            file.flush(completion);
            return;
        }
        store.flush(error -> {
            if (error != null) {
                completion.complete(error);
            } else {
                file.flush(completion);
            }
        });
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        new ExtentWalk(this, offset, length, false, sink, completion).advance();
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        Compared then = compared;
        if (then == null) {
            new ExtentWalk(this, offset, length, true, sink, completion).advance();
        } else {
            new SnapshotWalk(this, then.l1(), then.cache(), offset, length, sink, completion).advance();
        }
    }

    // ---- what it has in common with its snapshots

    /**
     * From now on its own is what does not lie where these tables have it: so, what it shares with its snapshots, and what neither has
     * and shows through from the backing file, counts as what lies below.
     *
     * @param tables of its own file; null: compared with nothing
     */
    public void compareWith(@Nullable SnapshotTables tables) {
        if (tables == null) {
            compared = null;
            return;
        }
        L1Table then = new L1Table(tables.tables, 0, tableBits, header.entryBytes());
        compared = new Compared(tables, then, new MapCache(file, then, header, COMPARED_BYTES));
    }

    /** What it is compared with; null: nothing. */
    public @Nullable SnapshotTables comparedWith() {
        Compared now = compared;
        return now == null ? null : now.with();
    }

    // ---- what lies below

    @Override
    public long belowBytes() {
        return compared != null ? sizeBytes : Math.min(sizeBytes, backingBytes());
    }

    /**
     * Takes over from the backing file what this image has not got itself, cluster by cluster; guests' requests may come meanwhile,
     * and what they change stays changed. The range is whole clusters, but at the end of the disk.
     *
     * @param zero the range is known to read as zeroes there: that is hidden and not copied, where the version has a flag for it
     */
    public void populate(long offset, long length, boolean zero, Completion completion) {
        change().populate(offset, length, zero, completion);
    }

    /**
     * Lies over something else from now on. Nothing may be in flight.
     *
     * @param other null: over nothing
     * @return what it lay over until now, which the caller closes
     */
    public @Nullable BlockDevice rebase(@Nullable BlockDevice other) {
        BlockDevice before = backing;
        backing = other;
        backingBytes = other == null ? 0 : other.geometry().sizeBytes();
        return before;
    }

    public long clusterBytes() {
        return clusterMask + 1;
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        long cluster = offset >>> clusterBits;
        int table = (int) (cluster >>> tableBits);
        if (!l1.present(table)) {
            return false;
        }
        MapSlice slice = cache.present(cluster >>> sliceBits);
        int index = indexInSlice(cluster);
        if (slice == null || kind(slice, index, partOf(offset)) != NORMAL) {
            return false;
        }
        long host = hostOffset(slice.entries[index]);
        if (extended) {
            return Subclusters.runEnd(this, slice, offset, offset + length) == offset + length
                    && inStore(host + (offset & clusterMask), offset, length, range);
        }
        long last = (offset + length - 1) >>> clusterBits;
        if (index + (last - cluster) >= slice.entries.length) {
            return false;
        }
        for (long next = cluster + 1; next <= last; next++) {
            int i = index + (int) (next - cluster);
            if (kind(slice.entries[i]) != NORMAL
                    || hostOffset(slice.entries[i]) != host + ((next - cluster) << clusterBits)) {
                return false;
            }
        }
        return inStore(host + (offset & clusterMask), offset, length, range);
    }

    private boolean inStore(long position, long offset, int length, FileRange range) {
        return !displaced(position, offset)
                && position + length <= store.lengthBytes()
                && store.locate(position, length, range);
    }

    @Override
    public void located(long offset, int length, long nanos) {
        store.located(offset, length, nanos);
    }

    @Override
    public void close(Completion completion) {
        new Closing(this, completion).start();
    }

    // ---- for the requests

    int kind(long entry) {
        return Qcow2Layout.kind(entry, clusterMask, flagged, external);
    }

    /** The cluster of an entry is this disk's alone. A data file is nobody else's. */
    boolean owned(long entry) {
        return (entry & COPIED) != 0 || external;
    }

    /** In a data file everything lies where the guest has it. */
    boolean displaced(long host, long offset) {
        return external && host != offset;
    }

    /** What a cluster is, or a part of it where it has some. */
    int kind(MapSlice slice, int index, int part) {
        int cluster = kind(slice.entries[index]);
        return extended ? Subclusters.kind(cluster, slice.bitmaps[index], part) : cluster;
    }

    /** Which part of its cluster a position is in; 0 where those have none. */
    int partOf(long position) {
        return (int) ((position & clusterMask) >>> partBits);
    }

    /** What is not allocated there comes from the backing file, and not from nowhere. */
    boolean backed(long cluster) {
        return cluster << clusterBits < backingBytes;
    }

    /** How much of the disk may show through from the backing file, from the beginning on; 0 where there is none. */
    public long backingBytes() {
        return backingBytes;
    }

    /** Guest clusters from the first of one slice up to here are in the same slice. */
    int indexInSlice(long cluster) {
        return (int) (cluster & (cache.sliceEntries() - 1));
    }

    boolean readOnly() {
        return capabilities.readOnly();
    }

    BlockError corrupt(String operation, long offset, String detail) {
        return BlockError.of(ErrorKind.CORRUPT, name, operation, offset, -1, detail);
    }

    private ReadRequest reader() {
        ReadRequest reader = freeReader;
        if (reader == null) {
            return extended ? new SubclusterRead(this) : new ReadRequest(this);
        }
        freeReader = reader.nextFree;
        return reader;
    }

    void recycle(ReadRequest reader) {
        reader.nextFree = freeReader;
        freeReader = reader;
    }

    private ChangeRequest change() {
        ChangeRequest change = freeChange;
        if (change == null) {
            return extended ? new SubclusterChange(this) : new ChangeRequest(this);
        }
        freeChange = change.nextFree;
        return change;
    }

    void recycle(ChangeRequest change) {
        change.nextFree = freeChange;
        freeChange = change;
    }
}
