package dev.ferry.filter.mirror;

import dev.ferry.block.Invariant;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What is known of each region: copied or not, changed since the map was read, written on the target; and who holds it. */
final class RegionTable {
    private final long sizeBytes;
    private final int shift;
    private final long regions;
    private final RegionMap copied;
    private final RegionMap changed;
    private final RegionMap written;
    /** What was in step when a move went on that had been interrupted; null if it began afresh. */
    private final @Nullable RegionMap kept;
    /** As many as a copier and a verifier work on at once: a few. */
    private final List<RegionHold> holds = new ArrayList<>();

    RegionTable(long sizeBytes, int shift, @Nullable StepMap steps) {
        this.sizeBytes = sizeBytes;
        this.shift = shift;
        this.regions = (sizeBytes + (1L << shift) - 1) >>> shift;
        this.copied = steps == null ? new RegionMap(regions) : steps.copied();
        this.kept = steps != null && steps.goesOn() ? copied.copy() : null;
        this.changed = new RegionMap(regions);
        this.written = new RegionMap(regions);
        if (kept != null) {
            written.set(0, regions);
        }
    }

    long regions() {
        return regions;
    }

    long pendingBytes() {
        long bytes = (regions - copied.count()) << shift;
        boolean lastPending = regions > 0 && !copied.has(regions - 1);
        return lastPending ? bytes - ((regions << shift) - sizeBytes) : bytes;
    }

    boolean copied(long region) {
        return copied.has(region);
    }

    boolean changed(long region) {
        return changed.has(region);
    }

    boolean written(long region) {
        return written.has(region);
    }

    void markCopied(long region) {
        copied.set(region);
    }

    void markPending(Change change) {
        copied.clear(change.offset >>> shift, endRegion(change.end()));
    }

    void markAllPending() {
        copied.clear(0, regions);
    }

    void spoil(long offset, long length) {
        copied.clear(offset >>> shift, endRegion(offset + length));
        written.set(offset >>> shift, endRegion(offset + length));
        changed.set(offset >>> shift, endRegion(offset + length));
    }

    void markWritten(long offset, long length) {
        long region = offset >>> shift;
        long end = endRegion(offset + length);
        if (end == region + 1 && written.has(region)) {
            return;
        }
        written.set(region, end);
    }

    boolean kept(long region) {
        return kept != null && kept.has(region);
    }

    long keptBytes(long offset, long length) {
        RegionMap before = kept;
        if (before == null) {
            return 0;
        }
        long bytes = 0;
        long end = offset + length;
        long region = before.nextSet(offset >>> shift);
        while (region << shift < end && region < regions) {
            long after = before.nextClear(region);
            bytes += Math.min(end, after << shift) - Math.max(offset, region << shift);
            region = before.nextSet(after);
        }
        return bytes;
    }

    /** A range of a target that was taken up again is a hole, and nothing has been copied there since. */
    void markHole(long offset, long length) {
        long end = offset + length == sizeBytes ? regions : (offset + length) >>> shift;
        for (long region = endRegion(offset); region < end; region++) {
            if (!copied.has(region) && !kept(region)) {
                written.clear(region, region + 1);
            }
        }
    }

    void watch(long from, long end) {
        changed.clear(from, end);
    }

    void noteChange(Change change) {
        changed.set(change.offset >>> shift, endRegion(change.end()));
    }

    long endRegion(long endBytes) {
        return (endBytes + (1L << shift) - 1) >>> shift;
    }

    long nextPending(long from) {
        for (long region = copied.nextClear(from); region < regions; region = copied.nextClear(region + 1)) {
            if (isFree(region)) {
                return region;
            }
        }
        return -1;
    }

    // ---- holds

    void add(RegionHold hold) {
        Invariant.that(isFree(hold.region), "region held twice");
        holds.add(hold);
    }

    void remove(RegionHold hold) {
        Invariant.that(holds.remove(hold), "hold ended twice");
        hold.region = -1;
    }

    /** True if nobody holds this region, with a hold broken or not. */
    boolean isFree(long region) {
        for (int i = 0; i < holds.size(); i++) {
            if (holds.get(i).region == region) {
                return false;
            }
        }
        return true;
    }

    /** The hold that a change in this region has to respect. */
    @Nullable
    RegionHold holdOf(long region) {
        for (int i = 0; i < holds.size(); i++) {
            RegionHold hold = holds.get(i);
            if (hold.region == region && hold.broken == null) {
                return hold;
            }
        }
        return null;
    }

    /** Up to where a change that begins at {@code from} meets regions of one state. A held region stands alone. */
    long runEnd(long from, long end) {
        long first = from >>> shift;
        long last = (end - 1) >>> shift;
        if (first == last) {
            return end;
        }
        long run = copied.has(first) ? copied.nextClear(first) : copied.nextSet(first);
        for (int i = 0; i < holds.size(); i++) {
            RegionHold hold = holds.get(i);
            if (hold.broken == null && hold.region >= first && hold.region < run) {
                run = hold.region == first ? first + 1 : hold.region;
            }
        }
        return run > last ? end : run << shift;
    }

    /** @return true if a hold has nothing more to wait for */
    boolean changeEnded(Change change) {
        boolean ready = false;
        for (int i = 0; i < holds.size(); i++) {
            RegionHold hold = holds.get(i);
            long from = hold.region << shift;
            if (hold.changesBefore > 0
                    && change.sequence < hold.sequence
                    && change.overlaps(from, from + (1L << shift))) {
                ready |= --hold.changesBefore == 0;
            }
        }
        return ready;
    }

    @Nullable
    RegionHold nextReady() {
        for (int i = 0; i < holds.size(); i++) {
            RegionHold hold = holds.get(i);
            if (hold.changesBefore == 0 && !hold.announced) {
                return hold;
            }
        }
        return null;
    }

    @Nullable
    RegionHold nextUnbroken() {
        for (int i = 0; i < holds.size(); i++) {
            if (holds.get(i).broken == null) {
                return holds.get(i);
            }
        }
        return null;
    }

    /** Of the holds that a guest waits for, the one that was waited for first. */
    @Nullable
    RegionHold oldestWaiting() {
        RegionHold oldest = null;
        for (int i = 0; i < holds.size(); i++) {
            RegionHold hold = holds.get(i);
            if (hold.firstWaiting != null && (oldest == null || hold.waitingSinceNanos < oldest.waitingSinceNanos)) {
                oldest = hold;
            }
        }
        return oldest;
    }
}
