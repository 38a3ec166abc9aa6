package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One guest cluster on its way into a host cluster of its own: the old content is read where it is wanted, the request's
 * bytes are put over it, the whole is written and flushed, and only then does the map point there. Used again.
 */
final class ClusterCopy extends Waiter implements Completion {
    private final Qcow2Device device;
    private final Copies copies;
    final Waiter.List waiting = new Waiter.List();
    long cluster = -1;

    @Nullable
    ClusterCopy nextFree;

    private @Nullable Request request;
    private @Nullable MapSlice slice;
    private long host;
    private @Nullable IoBuffer staging;
    private int from;
    private int length;
    private @Nullable IoBuffer data;
    private int at;
    private boolean reading;

    ClusterCopy(Qcow2Device device, Copies copies) {
        this.device = device;
        this.copies = copies;
    }

    void prepare(Request newRequest, long newCluster, MapSlice newSlice, long newHost, @Nullable IoBuffer newStaging) {
        request = newRequest;
        cluster = newCluster;
        slice = newSlice;
        newSlice.pins++;
        host = newHost;
        staging = newStaging;
    }

    /** @param newData null: zeroes */
    void put(long fromPosition, long toPosition, @Nullable IoBuffer newData, int newAt) {
        from = (int) (fromPosition & device.clusterMask);
        length = (int) (toPosition - fromPosition);
        data = newData;
        at = newAt;
    }

    private long entry() {
        return Objects.requireNonNull(slice).entries[device.indexInSlice(cluster)];
    }

    private int clusterBytes() {
        return (int) device.clusterMask + 1;
    }

    void start() {
        IoBuffer into = staging;
        reading = true;
        if (into == null) {
            complete(null);
            return;
        }
        long old = entry();
        switch (device.kind(old)) {
            case PACKED -> resume(null);
            case NORMAL -> read(device.file, hostOffset(old), device.file.lengthBytes() - hostOffset(old), into);
            default -> {
                long start = cluster << device.clusterBits;
                read(Objects.requireNonNull(device.backing), start, device.backingBytes() - start, into);
            }
        }
    }

    private void read(BlockDevice where, long position, long there, IoBuffer into) {
        int count = Math.clamp(there, 0, clusterBytes());
        into.zero(count, clusterBytes() - count);
        if (count == 0) {
            complete(null);
        } else {
            where.read(position, into, 0, count, this);
        }
    }

    /** Tries to get at the compressed content. */
    @Override
    void resume(@Nullable BlockError error) {
        if (error != null) {
            complete(error);
            return;
        }
        IoBuffer content = device.packed.content(entry(), this);
        if (content != null) {
            Objects.requireNonNull(staging).copyFrom(content, 0, 0, clusterBytes());
            complete(null);
        }
    }

    @Override
    void mapWritten(@Nullable BlockError error) {
        throw new IllegalStateException("a copy does not wait for the map");
    }

    @Override
    public void complete(@Nullable BlockError error) {
        if (error != null) {
            end(error);
        } else if (reading) {
            reading = false;
            write();
        } else {
            copies.written(this);
        }
    }

    private void write() {
        IoBuffer whole = staging;
        long position = host << device.clusterBits;
        if (whole == null) {
            device.file.write(position, Objects.requireNonNull(data), at, length, 0, this);
            return;
        }
        if (data != null) {
            whole.copyFrom(data, at, from, length);
        } else {
            whole.zero(from, length);
        }
        device.file.write(position, whole, 0, clusterBytes(), 0, this);
    }

    void flushed(@Nullable BlockError error) {
        if (error == null) {
            MapSlice in = Objects.requireNonNull(slice);
            int index = device.indexInSlice(cluster);
            long old = in.entries[index];
            in.entries[index] = host << device.clusterBits | COPIED;
            device.map.touched(in, index, index + 1);
            device.copies.drop(old);
        }
        end(error);
    }

    private void end(@Nullable BlockError error) {
        Request asked = Objects.requireNonNull(request);
        if (error != null) {
            device.recycler.drop(host);
        } else {
            asked.copied();
        }
        Objects.requireNonNull(slice).pins--;
        IoBuffer used = staging;
        if (used != null) {
            used.release();
        }
        slice = null;
        staging = null;
        data = null;
        request = null;
        copies.ended(this);
        asked.complete(error);
    }
}
