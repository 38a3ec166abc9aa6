package dev.ferry.filter.mirror;

/** Looks into a mirror. */
public final class InFlight {
    private InFlight() {}

    /** Whether a change of a region has not ended on both sides, whatever the guest was told. */
    public static boolean in(Mirror mirror, long region) {
        for (Change change = mirror.firstChange(); change != null; change = change.next) {
            if (mirror.regionAt(change.offset) <= region && region <= mirror.regionAt(change.end() - 1)) {
                return true;
            }
        }
        return false;
    }
}
