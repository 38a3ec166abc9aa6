package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Clusters and L2 tables that are being put somewhere else, because their content so far is not this disk's alone. Nobody
 * else changes such a cluster meanwhile. The flush that has to lie between the new content and the map is one for all
 * that wait for it.
 *
 * <p>Thread: the disk's loop.
 */
final class Copies implements Completion {
    private static final int ACTIVE_MAX = 32;

    private final Qcow2Device device;
    private final List<ClusterCopy> active = new ArrayList<>(ACTIVE_MAX);
    private final List<TableCopy> tables = new ArrayList<>();
    private final Waiter.List noSlot = new Waiter.List();
    private List<ClusterCopy> written = new ArrayList<>(ACTIVE_MAX);
    private List<ClusterCopy> flushing = new ArrayList<>(ACTIVE_MAX);
    private boolean flushInFlight;
    private @Nullable ClusterCopy free;
    private @Nullable ClusterCopy prepared;

    Copies(Qcow2Device device) {
        this.device = device;
    }

    /** Parts of a cluster are being copied, of those that are asked for. */
    boolean busy(long cluster, int parts) {
        return !active.isEmpty() && of(cluster, parts) != null;
    }

    private @Nullable ClusterCopy of(long cluster, int parts) {
        for (int i = 0; i < active.size(); i++) {
            ClusterCopy copy = active.get(i);
            if (copy.cluster == cluster && (copy.parts & parts) != 0) {
                return copy;
            }
        }
        return null;
    }

    /** Waits until what is busy is not any more. */
    void await(long cluster, int parts, Waiter waiter) {
        Objects.requireNonNull(of(cluster, parts)).waiting.add(waiter);
    }

    /**
     * Prepares the copy of a cluster, or parts of one, with the bytes of a request, or zeroes, put over it; {@link #run} starts it.
     *
     * @param parts those that have data of their own afterwards
     * @param elsewhere into another cluster, with all that this one has
     * @return false if the request has to wait, or fails
     */
    boolean start(Request request, long cluster, MapSlice slice, int parts, boolean elsewhere, long from, long to) {
        if (active.size() == ACTIVE_MAX) {
            noSlot.add(request);
            return false;
        }
        ClusterCopy copy = free;
        if (copy == null) {
            copy = new ClusterCopy(device, this);
        } else {
            free = copy.nextFree;
        }
        copy.choose(cluster, slice, parts, elsewhere, from, to, request);
        if (!provided(copy, request)) {
            copy.nextFree = free;
            free = copy;
            return false;
        }
        active.add(copy);
        prepared = copy;
        return true;
    }

    /** It gets the memory and the cluster that it wants, or else its request waits or fails. */
    private boolean provided(ClusterCopy copy, Request request) {
        int bytes = copy.stagingBytes();
        IoBuffer staging = bytes == 0 ? null : device.buffers.take(bytes);
        if (bytes > 0 && staging == null) {
            if (active.isEmpty()) {
                request.resume(BlockError.of(ErrorKind.NO_MEMORY, device.name, "copy a cluster", "no buffer is free"));
            } else {
                noSlot.add(request);
            }
            return false;
        }
        long host = copy.fresh() ? device.reserve.take(1) : copy.place();
        if (host < 0) {
            if (staging != null) {
                staging.release();
            }
            device.reserve.await(request);
            return false;
        }
        copy.prepare(host, staging);
        return true;
    }

    void run() {
        ClusterCopy copy = Objects.requireNonNull(prepared);
        prepared = null;
        copy.start();
    }

    /** The new content of a cluster is in the file; the map waits for a flush. */
    void written(ClusterCopy copy) {
        written.add(copy);
        flush();
    }

    private void flush() {
        if (!flushInFlight && !written.isEmpty()) {
            flushInFlight = true;
            List<ClusterCopy> now = written;
            written = flushing;
            flushing = now;
            device.store.flush(this);
        }
    }

    @Override
    public void complete(@Nullable BlockError error) {
        List<ClusterCopy> done = flushing;
        for (int i = 0; i < done.size(); i++) {
            done.get(i).flushed(error);
        }
        done.clear();
        flushInFlight = false;
        flush();
    }

    void ended(ClusterCopy copy) {
        active.remove(copy);
        copy.nextFree = free;
        free = copy;
        copy.waiting.resumeAll(null);
        noSlot.resumeAll(null);
        device.cache.roomAgain();
    }

    // ---- what the map does not point at any more

    /** The map has just been changed away from an entry. */
    void drop(long entry) {
        if (device.external) {
            return;
        }
        if ((entry & COMPRESSED) != 0) {
            long offset = packedOffset(entry, device.clusterBits);
            long last = offset + packedBytesMax(entry, device.clusterBits) - 1;
            long first = offset >>> device.clusterBits;
            device.recycler.uncount(first, (last >>> device.clusterBits) - first + 1);
            return;
        }
        long host = hostOffset(entry);
        long cluster = host >>> device.clusterBits;
        if (host == 0 || device.metadata.has(cluster) || host >= device.file.lengthBytes()) {
            return;
        }
        if ((entry & COPIED) != 0) {
            device.recycler.drop(cluster);
        } else {
            device.recycler.uncount(cluster, 1);
        }
    }

    // ---- tables

    /** Gives the disk an L2 table of its own instead of one that it shares with a snapshot. */
    void table(int table, Waiter waiter) {
        for (TableCopy copy : tables) {
            if (copy.table == table) {
                copy.waiting.add(waiter);
                return;
            }
        }
        long host = device.reserve.take(1);
        if (host < 0) {
            device.reserve.await(waiter);
            return;
        }
        TableCopy copy = new TableCopy(table, host);
        copy.waiting.add(waiter);
        tables.add(copy);
        copy.advance();
    }

    private final class TableCopy extends Steps {
        private final int table;
        private final long host;
        private final Waiter.List waiting = new Waiter.List();
        private final IoBuffer bytes = IoBuffer.allocate((int) device.clusterMask + 1);
        private int state;

        TableCopy(int table, long host) {
            this.table = table;
            this.host = host;
        }

        @Override
        boolean step() {
            switch (state++) {
                case 0 -> device.file.read(hostOffset(device.l1.entry(table)), bytes, 0, bytes.capacity(), this);
                case 1 -> device.file.write(host << device.clusterBits, bytes, 0, bytes.capacity(), 0, this);
                case 2 -> device.file.flush(this);
                default -> {
                    return true;
                }
            }
            return false;
        }

        @Override
        void ended(@Nullable BlockError error) {
            tables.remove(this);
            if (error != null) {
                device.recycler.drop(host);
            } else {
                long old = hostOffset(device.l1.entry(table)) >>> device.clusterBits;
                device.l1.set(table, host << device.clusterBits);
                device.metadata.add(host);
                device.recycler.uncount(old, 1);
            }
            waiting.resumeAll(error);
        }
    }
}
