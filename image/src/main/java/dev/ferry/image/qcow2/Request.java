package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.COPIED;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A guest's request on its way through the map: it is cut where the map changes its mind, each piece is submitted, and
 * the request ends when all have; one that changed the map, when the map is written too. Where something is not there yet,
 * a table, room, a cluster that is being copied, it waits and goes on. Used again.
 */
abstract class Request extends Waiter implements Completion {
    static final String DISPLACED = "its L2 entry points to another place of the data file than its own";

    final Qcow2Device device;
    /** What data lies in: the file of the image, or another. */
    final BlockDevice store;

    long position;
    long end;

    @Nullable
    IoBuffer buffer;

    int at;
    /** Pieces in flight. */
    int outstanding;

    boolean waiting;
    /** It ends when what was changed is in the file. */
    boolean changedMap;

    private boolean joined;
    private @Nullable Completion completion;
    private @Nullable BlockError error;
    private boolean advancing;
    private boolean again;

    Request(Qcow2Device device) {
        this.device = device;
        this.store = device.store;
    }

    final void begin(long offset, long length, @Nullable IoBuffer newBuffer, int newAt, Completion newCompletion) {
        position = offset;
        end = offset + length;
        buffer = newBuffer;
        at = newAt;
        completion = newCompletion;
        error = null;
        changedMap = false;
        joined = false;
        advance();
    }

    /** What errors call it. */
    abstract String word();

    /** Submits what comes next, and moves the position past that; false if this now waits. */
    abstract boolean step();

    /** Nothing of it is in flight; may be used again. */
    abstract void over();

    // ---- going on

    final void advance() {
        again = true;
        if (advancing) {
            return;
        }
        advancing = true;
        while (again) {
            again = false;
            walk();
        }
        advancing = false;
        endIfDone();
    }

    private void walk() {
        while (position < end && error == null) {
            if (waiting || !step()) {
                return;
            }
        }
        if (changedMap && !joined && error == null) {
            joined = true;
            outstanding++;
            device.map.join(this);
        }
    }

    @Override
    void resume(@Nullable BlockError problem) {
        waiting = false;
        if (problem != null && error == null) {
            error = problem;
        }
        advance();
    }

    @Override
    void mapWritten(@Nullable BlockError problem) {
        complete(problem);
    }

    /** A piece has ended. */
    @Override
    public void complete(@Nullable BlockError problem) {
        outstanding--;
        if (problem != null && error == null) {
            error = problem;
        }
        endIfDone();
    }

    private void endIfDone() {
        if (advancing || waiting || outstanding > 0 || (position < end && error == null)) {
            return;
        }
        if (changedMap && !joined && error == null) {
            advance();
            return;
        }
        Completion ended = Objects.requireNonNull(completion);
        BlockError result = error;
        completion = null;
        buffer = null;
        error = null;
        over();
        ended.complete(result);
    }

    /** A cluster that was copied for this request is where the map now points. */
    final void copied() {
        changedMap = true;
        joined = false;
    }

    // ---- for its steps

    final IoBuffer data() {
        return Objects.requireNonNull(buffer);
    }

    final boolean fail(String detail) {
        error = device.corrupt(word(), position, detail);
        return true;
    }

    /** The slice at the position; null if this now waits for it. */
    final @Nullable MapSlice slice(long cluster) {
        waiting = true;
        MapSlice slice = device.cache.slice(cluster >>> device.sliceBits, this);
        if (slice != null) {
            waiting = false;
        }
        return slice;
    }

    final long clusterEnd(long cluster) {
        return Math.min(end, (cluster + 1) << device.clusterBits);
    }

    final long tableEnd(long cluster) {
        return Math.min(end, ((cluster >>> device.tableBits) + 1) << (device.tableBits + device.clusterBits));
    }

    final void advanceTo(long next) {
        at += (int) (next - position);
        position = next;
    }

    /** Where the clusters that lie side by side in the file end, within the slice and the request. */
    final long runEnd(MapSlice slice, int index, long cluster, long entry, boolean exact) {
        long ignored = exact ? 0 : COPIED;
        long expected = entry & ~ignored;
        long to = cluster + 1;
        for (int i = index + 1; i < slice.entries.length && to << device.clusterBits < end; i++) {
            expected += device.clusterMask + 1;
            if ((slice.entries[i] & ~ignored) != expected) {
                break;
            }
            to++;
        }
        return clusterEnd(to - 1);
    }
}
