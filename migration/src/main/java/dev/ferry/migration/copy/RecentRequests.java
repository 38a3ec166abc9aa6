package dev.ferry.migration.copy;

/**
 * How many requests a guest has made in the last second, and how many of them were slow, kept by ticks of a clock.
 *
 * <p>Thread: whoever owns it.
 */
final class RecentRequests {
    private final long[] requests;
    private final long[] slow;
    private long allRequests;
    private long allSlow;
    private int next;

    /** @param ticks that make a second */
    RecentRequests(int ticks) {
        requests = new long[ticks];
        slow = new long[ticks];
    }

    /** A tick has passed. */
    void add(long requestsInIt, long slowInIt) {
        allRequests += requestsInIt - requests[next];
        allSlow += slowInIt - slow[next];
        requests[next] = requestsInIt;
        slow[next] = slowInIt;
        next = (next + 1) % requests.length;
    }

    /** Requests of the last second. */
    long requests() {
        return allRequests;
    }

    /** Those of them that were slow. */
    long slow() {
        return allSlow;
    }

    /** Requests of the last few ticks, at most a second of them. */
    long requests(int ticks) {
        long sum = 0;
        for (int back = 1; back <= ticks; back++) {
            sum += requests[Math.floorMod(next - back, requests.length)];
        }
        return sum;
    }
}
