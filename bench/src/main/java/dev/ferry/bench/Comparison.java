package dev.ferry.bench;

/**
 * One line of a report: a figure of Ferry's beside a peer's.
 *
 * @param where the kind of file system
 * @param what the workload
 * @param figure the name of the figure, with its unit
 * @param ferry Ferry's median
 * @param peer whose figure stands beside it; empty where the goal is an absolute one
 * @param peerValue the peer's median; 0 without a peer
 * @param measured what is held against the goal: the median of the ratios of each round, or the figure itself
 * @param goal what is to be reached
 */
record Comparison(
        String where,
        String what,
        String figure,
        double ferry,
        String peer,
        double peerValue,
        double measured,
        Goal goal) {

    boolean met() {
        return goal.met(measured);
    }
}
