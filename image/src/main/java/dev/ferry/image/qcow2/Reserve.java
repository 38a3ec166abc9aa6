package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.REFCOUNT_TABLE_OFFSET;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.RequestFlags;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Clusters to hand out. Each reads as zeroes and has a refcount of one, and both are durable: whoever takes one may point
 * at it at once, in any order with anything else, and the worst that a crash leaves is a cluster that nobody points at.
 *
 * <p>It is filled ahead, in the background, from what is free within the file and else behind its end, in batches that
 * grow while they are used up quickly; so the flush that makes a batch durable is paid once for many writes, and mostly
 * before anybody waits for it. What is left when the image is closed goes back.
 *
 * <p>Thread: the disk's loop.
 */
final class Reserve {
    private static final int BATCH_GROWTH_MAX = 64;
    private static final int FIRST_BATCH_MIN = 8;
    private static final int SLICES_LOOKED_AT = 8;
    private static final int ROOM_FOR_TABLE_TO_GROW = 2;

    private final BlockDevice file;
    private final Refcounts refcounts;
    private final Metadata metadata;
    private final Recycler recycler;
    private final int clusterBits;
    private final String name;
    private final long batchMax;
    private final Waiter.List waiting = new Waiter.List();
    final Runs runs = new Runs();
    private long clusters;
    private long batch;
    private boolean filling;
    private boolean closed;

    Reserve(
            BlockDevice file,
            Refcounts refcounts,
            Metadata metadata,
            Recycler recycler,
            Qcow2Image image,
            long firstBytes) {
        this.file = file;
        this.refcounts = refcounts;
        this.metadata = metadata;
        this.recycler = recycler;
        this.name = image.name;
        this.clusterBits = image.header.clusterBits();
        this.batch = Math.clamp(firstBytes >> clusterBits, FIRST_BATCH_MIN, 8192);
        this.batchMax = BATCH_GROWTH_MAX * batch;
    }

    /**
     * Takes clusters that lie side by side; {@link #taken} says how many.
     *
     * @return the first of them, or -1 if there are none now: {@link #await} then
     */
    long take(long most) {
        if (runs.isEmpty()) {
            return -1;
        }
        long start = runs.takeLast(most);
        clusters -= runs.taken();
        if (clusters < batch / 2) {
            fill();
        }
        return start;
    }

    long taken() {
        return runs.taken();
    }

    void await(Waiter waiter) {
        waiting.add(waiter);
        fill();
    }

    /** Takes what the recycler has made clean, as far as there is use for it; true if it was taken. */
    boolean give(long start, long count) {
        if (closed || clusters + count > batch) {
            return false;
        }
        runs.add(start, count);
        clusters += count;
        return true;
    }

    boolean idle() {
        return !filling;
    }

    void close() {
        closed = true;
    }

    private void fill() {
        if (!filling && !closed) {
            filling = true;
            refcounts.enter(new Fill(batch));
        }
    }

    private void filled(@Nullable BlockError error) {
        filling = false;
        batch = Math.min(batchMax, 2 * batch);
        waiting.resumeAll(error);
        recycler.somethingEnded();
    }

    /** Finds free clusters, cleans them, counts them, and makes that durable. */
    private final class Fill extends Steps {
        private static final int SCAN = 0;
        private static final int CLEAN = 1;
        private static final int GROW = 2;
        private static final int COUNT = 3;
        private static final int WRITE = 4;
        private static final int LINK = 5;
        private static final int LINKED = 6;
        private static final int READY = 7;

        private final long wanted;
        private final Runs found = new Runs();
        private final Runs toClean = new Runs();
        private final long[] tableBefore = refcounts.table;
        private final long tailBefore = refcounts.tail;
        private int state = SCAN;
        private int looked;
        private long cluster;
        private long newEnd;
        private long firstBlock = -1;
        private long lastBlock;
        private long newTableStart;
        private long newTableClusters;

        Fill(long wanted) {
            this.wanted = wanted;
        }

        @Override
        boolean step() {
            return switch (state) {
                case SCAN -> scan();
                case CLEAN -> clean();
                case GROW -> grow();
                case COUNT -> count();
                case WRITE -> write();
                case LINK -> link();
                case LINKED -> linked();
                default -> true;
            };
        }

        /** Looks at the counts of clusters that are within the file already. */
        private boolean scan() {
            while (refcounts.cursor < refcounts.tail && looked < SLICES_LOOKED_AT && found.clusters() < wanted) {
                long at = refcounts.cursor;
                if (!refcounts.hasBlock(at)) {
                    refcounts.cursor = (at / refcounts.countsInBlock() + 1) * refcounts.countsInBlock();
                    continue;
                }
                Refcounts.Slice slice = refcounts.present(at);
                if (slice == null) {
                    refcounts.load(at, this);
                    return false;
                }
                looked++;
                pick(slice, at);
            }
            toClean.addAll(found);
            if (found.clusters() < Math.max(1, wanted / 2)) {
                String refused = plan();
                if (refused != null && found.isEmpty()) {
                    complete(BlockError.of(ErrorKind.NO_SPACE, name, "allocate", refused));
                    return false;
                }
            }
            cluster = tailBefore;
            state = CLEAN;
            return goOn();
        }

        private void pick(Refcounts.Slice slice, long from) {
            long sliceEnd = (from / refcounts.countsInSlice() + 1) * refcounts.countsInSlice();
            long end = Math.min(sliceEnd, refcounts.tail);
            long at = from;
            while (at < end && found.clusters() < wanted) {
                if (refcounts.count(slice, at) == 0 && !metadata.has(at)) {
                    refcounts.set(slice, at, 1);
                    found.add(at, 1);
                }
                at++;
            }
            refcounts.cursor = at;
        }

        /**
         * Plans what lies behind the tail: blocks for counts that have none yet, then a longer table if those need one,
         * then clusters to hand out.
         *
         * @return why there is no room, or null
         */
        private @Nullable String plan() {
            long start = tailBefore;
            long bound = file.geometry().sizeBytes() >>> clusterBits;
            long more = Math.min(wanted - found.clusters(), bound - start);
            long perBlock = refcounts.countsInBlock();
            long blocks = 0;
            long tableClusters = 0;
            while (more > 0) {
                long end = start + blocks + tableClusters + more;
                long last = (end - 1) / perBlock;
                long blocksNeeded = 0;
                for (long block = start / perBlock; block <= last; block++) {
                    blocksNeeded += refcounts.hasBlock(block * perBlock) ? 0 : 1;
                }
                long tableNeeded = last < refcounts.table.length ? 0 : tableClustersFor(last);
                if (end > bound) {
                    // Fewer clusters may need fewer blocks: those are counted anew.
                    more -= Math.min(more, end - bound);
                    blocks = 0;
                    tableClusters = 0;
                } else if (blocksNeeded == blocks && tableNeeded == tableClusters) {
                    break;
                } else {
                    blocks = blocksNeeded;
                    tableClusters = tableNeeded;
                }
            }
            if (more <= 0) {
                return "the image is as long as its file may be";
            }
            if (tableClusters << clusterBits > Qcow2Layout.REFCOUNT_TABLE_BYTES_MAX) {
                return "its refcount table cannot grow any further";
            }
            place(start, blocks, tableClusters, more);
            return null;
        }

        private long tableClustersFor(long lastIndex) {
            long entriesInCluster = 1L << (clusterBits - 3);
            long needed = lastIndex / entriesInCluster + 1;
            long most = Math.max(needed, Qcow2Layout.REFCOUNT_TABLE_BYTES_MAX >> clusterBits);
            return Math.min(most, Math.max(needed, ROOM_FOR_TABLE_TO_GROW * refcounts.tableClusters));
        }

        private void place(long start, long blocks, long tableClusters, long more) {
            newEnd = start + blocks + tableClusters + more;
            long perBlock = refcounts.countsInBlock();
            long[] table = refcounts.table;
            table = Arrays.copyOf(
                    table, tableClusters == 0 ? table.length : (int) (tableClusters << (clusterBits - 3)));
            long next = start;
            for (long block = start / perBlock; next < start + blocks; block++) {
                if (table[(int) block] == 0) {
                    table[(int) block] = next << clusterBits;
                    firstBlock = firstBlock < 0 ? block : firstBlock;
                    lastBlock = block;
                    next++;
                }
            }
            refcounts.table = table;
            newTableStart = start + blocks;
            newTableClusters = tableClusters;
            found.add(start + blocks + tableClusters, more);
            long stale = Math.min(newEnd << clusterBits, file.lengthBytes()) - (start << clusterBits);
            if (stale > 0) {
                toClean.add(start, ((stale - 1) >>> clusterBits) + 1);
            }
        }

        /** What was used before is made to read as zeroes. */
        private boolean clean() {
            if (!toClean.isEmpty()) {
                long start = toClean.takeLast(Long.MAX_VALUE >>> clusterBits);
                long end = Math.min((start + toClean.taken()) << clusterBits, file.lengthBytes());
                if (end > start << clusterBits) {
                    file.discard(start << clusterBits, end - (start << clusterBits), 0, this);
                    return false;
                }
                return goOn();
            }
            state = GROW;
            return goOn();
        }

        private boolean grow() {
            state = COUNT;
            if (newEnd << clusterBits > file.lengthBytes()) {
                file.resize(newEnd << clusterBits, this);
                return false;
            }
            return goOn();
        }

        /** Counts what is behind the old tail. */
        private boolean count() {
            while (cluster < newEnd) {
                Refcounts.Slice slice = refcounts.present(cluster);
                if (slice == null && newBlock(cluster)) {
                    refcounts.fresh(cluster);
                    continue;
                }
                if (slice == null) {
                    refcounts.load(cluster, this);
                    return false;
                }
                long end = Math.min(newEnd, (cluster / refcounts.countsInSlice() + 1) * refcounts.countsInSlice());
                for (; cluster < end; cluster++) {
                    refcounts.set(slice, cluster, 1);
                }
            }
            state = WRITE;
            return goOn();
        }

        private boolean newBlock(long at) {
            long block = at / refcounts.countsInBlock();
            return block >= tableBefore.length || tableBefore[(int) block] == 0;
        }

        private boolean write() {
            if (refcounts.dirtySlices() > 0) {
                refcounts.writeOne(this);
            } else {
                state = firstBlock < 0 ? READY : LINK;
                file.flush(this);
            }
            return false;
        }

        /** Makes new blocks known: in the table, or by a longer table, which is then made known by the header. */
        private boolean link() {
            state = LINKED;
            if (newTableClusters > 0) {
                IoBuffer whole = IoBuffer.allocate((int) (newTableClusters << clusterBits));
                for (int i = 0; i < refcounts.table.length; i++) {
                    whole.segment().set(MapCache.BIG_ENDIAN, i * 8L, refcounts.table[i]);
                }
                file.write(newTableStart << clusterBits, whole, 0, whole.capacity(), RequestFlags.FUA, this);
                return false;
            }
            int count = (int) (lastBlock - firstBlock + 1);
            IoBuffer entries = IoBuffer.allocate(count * 8);
            for (int i = 0; i < count; i++) {
                entries.segment().set(MapCache.BIG_ENDIAN, i * 8L, refcounts.table[(int) firstBlock + i]);
            }
            state = READY;
            file.write(refcounts.tableOffset + firstBlock * 8, entries, 0, count * 8, RequestFlags.FUA, this);
            return false;
        }

        private boolean linked() {
            IoBuffer fields = IoBuffer.allocate(12);
            fields.segment().set(MapCache.BIG_ENDIAN, 0, newTableStart << clusterBits);
            fields.segment().set(MapCache.BIG_ENDIAN_INT, 8, (int) newTableClusters);
            state = READY;
            file.write(REFCOUNT_TABLE_OFFSET, fields, 0, 12, RequestFlags.FUA, this);
            return false;
        }

        @Override
        void ended(@Nullable BlockError error) {
            if (error != null) {
                refcounts.table = tableBefore;
                refcounts.leave(false);
                filled(error);
                return;
            }
            if (newEnd > 0) {
                refcounts.tail = newEnd;
            }
            if (newTableClusters > 0) {
                recycler.uncount(refcounts.tableOffset >>> clusterBits, refcounts.tableClusters);
                refcounts.tableOffset = newTableStart << clusterBits;
                refcounts.tableClusters = newTableClusters;
                metadata.addRange(refcounts.tableOffset, newTableClusters << clusterBits, clusterBits);
            }
            for (long block = firstBlock; block >= 0 && block <= lastBlock; block++) {
                metadata.add(refcounts.table[(int) block] >>> clusterBits);
            }
            runs.addAll(found);
            clusters += found.clusters();
            refcounts.leave(true);
            filled(null);
        }
    }
}
