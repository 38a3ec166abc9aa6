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
 * bytes are put over it, the whole is written and flushed, and only then does the map point there. Or some of the {@link
 * Subclusters} of one that has its own host cluster and no data there yet, on their way to where they belong. Used again.
 */
final class ClusterCopy extends Waiter implements Completion {
    private final Qcow2Device device;
    private final Copies copies;
    final Waiter.List waiting = new Waiter.List();
    long cluster = -1;

    /** Nobody else changes these meanwhile. */
    int parts;

    @Nullable
    ClusterCopy nextFree;

    private @Nullable Request request;
    private @Nullable MapSlice slice;
    private boolean elsewhere;
    private int asked;
    private int made;
    private int firstPart;
    private int endPart;
    private long host;
    private @Nullable IoBuffer staging;
    private int from;
    private int length;
    private @Nullable IoBuffer data;
    private int at;
    /** The part that is read next. */
    private int part;

    private boolean reading;

    ClusterCopy(Qcow2Device device, Copies copies) {
        this.device = device;
        this.copies = copies;
    }

    /** See {@link Copies#start}. */
    void choose(long itsCluster, MapSlice in, int wanted, boolean itElsewhere, long fromPosition, long to, Request of) {
        cluster = itsCluster;
        slice = in;
        request = of;
        elsewhere = itElsewhere;
        asked = wanted;
        parts = itElsewhere ? ChangeRequest.WHOLE : wanted;
        from = (int) (fromPosition & device.clusterMask);
        length = (int) (to - fromPosition);
        data = of.buffer;
        at = of.at;
        if (device.extended) {
            int index = device.indexInSlice(itsCluster);
            int kept = device.kind(in.entries[index]) == PACKED
                    ? ChangeRequest.WHOLE
                    : Subclusters.allocated(in.bitmaps[index]);
            made = itElsewhere ? wanted | kept : wanted;
            firstPart = Integer.numberOfTrailingZeros(made);
            endPart = Subclusters.COUNT - Integer.numberOfLeadingZeros(made);
        } else {
            made = ChangeRequest.WHOLE;
            firstPart = 0;
            endPart = 1;
        }
    }

    /** It wants a new host cluster. */
    boolean fresh() {
        return elsewhere && !device.external;
    }

    /** The host cluster that it has; that of a data file is where the guest has it. */
    long place() {
        return device.external ? cluster : hostOffset(entry()) >>> device.clusterBits;
    }

    private int rangeBytes() {
        return (endPart - firstPart) << device.partBits;
    }

    /** Memory for what is not all there in the request; 0 where it is. */
    int stagingBytes() {
        long to = (cluster << device.clusterBits) + from + length;
        boolean whole = length == rangeBytes() || (elsewhere && to == device.sizeBytes);
        return data != null && from == firstPart << device.partBits && whole ? 0 : rangeBytes();
    }

    void prepare(long newHost, @Nullable IoBuffer newStaging) {
        MapSlice in = Objects.requireNonNull(slice);
        in.pins++;
        if (!elsewhere) {
            in.clean[device.indexInSlice(cluster)] &= ~made;
        }
        host = newHost;
        staging = newStaging;
    }

    private long entry() {
        return Objects.requireNonNull(slice).entries[device.indexInSlice(cluster)];
    }

    void start() {
        part = firstPart;
        reading = true;
        readNext();
    }

    // ---- what is there

    private void readNext() {
        IoBuffer into = staging;
        while (into != null && part < endPart) {
            int first = part;
            int source = source(first);
            do {
                part++;
            } while (part < endPart && source == source(part));
            int into0 = (first - firstPart) << device.partBits;
            int bytes = (part - first) << device.partBits;
            long within = (long) first << device.partBits;
            switch (source) {
                case PACKED -> {
                    resume(null);
                    return;
                }
                case NORMAL -> {
                    long old = hostOffset(entry()) + within;
                    read(device.store, old, device.store.lengthBytes() - old, into, into0, bytes);
                    return;
                }
                case UNALLOCATED -> {
                    long start = (cluster << device.clusterBits) + within;
                    read(
                            Objects.requireNonNull(device.backing),
                            start,
                            device.backingBytes() - start,
                            into,
                            into0,
                            bytes);
                    return;
                }
                default -> into.zero(into0, bytes);
            }
        }
        reading = false;
        write();
    }

    /** Where the content of a part is so far: {@link Qcow2Layout#ZERO_PLAIN} if that is nowhere, or of no interest. */
    private int source(int one) {
        MapSlice in = Objects.requireNonNull(slice);
        int kind = device.kind(in, device.indexInSlice(cluster), one);
        if (kind == UNALLOCATED) {
            boolean wanted = (asked >>> one & 1) != 0;
            long start = (cluster << device.clusterBits) + ((long) one << device.partBits);
            return wanted && !covered(one) && start < device.backingBytes() ? UNALLOCATED : ZERO_PLAIN;
        }
        return kind == PACKED || (kind == NORMAL && !covered(one)) ? kind : ZERO_PLAIN;
    }

    /** The request says all of it. */
    private boolean covered(int one) {
        int start = one << device.partBits;
        return from <= start && start + (1 << device.partBits) <= from + length;
    }

    private void read(BlockDevice where, long position, long there, IoBuffer into, int into0, int bytes) {
        int count = Math.clamp(there, 0, bytes);
        into.zero(into0 + count, bytes - count);
        if (count == 0) {
            complete(null);
        } else {
            where.read(position, into, into0, count, this);
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
            Objects.requireNonNull(staging).copyFrom(content, 0, 0, (int) device.clusterMask + 1);
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
            readNext();
        } else {
            copies.written(this);
        }
    }

    // ---- what is to be

    private void write() {
        IoBuffer whole = staging;
        int start = firstPart << device.partBits;
        long position = (host << device.clusterBits) + start;
        if (whole == null) {
            device.store.write(position, Objects.requireNonNull(data), at, length, 0, this);
            return;
        }
        if (data != null) {
            whole.copyFrom(data, at, from - start, length);
        } else {
            whole.zero(from - start, length);
        }
        // A data file is as long as the disk, and ends within its last cluster.
        long most = device.external ? device.sizeBytes - position : Long.MAX_VALUE;
        device.store.write(position, whole, 0, (int) Math.min(rangeBytes(), most), 0, this);
    }

    void flushed(@Nullable BlockError error) {
        if (error == null) {
            MapSlice in = Objects.requireNonNull(slice);
            int index = device.indexInSlice(cluster);
            long old = in.entries[index];
            in.entries[index] = host << device.clusterBits | COPIED;
            if (device.extended) {
                in.bitmaps[index] = Subclusters.allocate(in.bitmaps[index], made);
                // Of a cluster that is new, only what was copied is no zeroes.
                in.clean[index] = fresh() ? ~made : in.clean[index];
            }
            device.map.touched(in, index, index + 1);
            if (elsewhere) {
                device.copies.drop(old);
            }
        }
        end(error);
    }

    private void end(@Nullable BlockError error) {
        Request asking = Objects.requireNonNull(request);
        if (error == null) {
            asking.copied();
        } else if (fresh()) {
            device.recycler.drop(host);
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
        asking.complete(error);
    }
}
