package dev.ferry.filter.mirror;

import dev.ferry.block.Completion;

/**
 * Where a mirror keeps what a crash must not take: which regions are in step. 64 regions to a word, the lowest bit first.
 *
 * <p>Thread: the loop's; calls do not block, and do not fail: a store that cannot keep what it is told makes sure that
 * what it kept is not believed any more, and then says so through the completion of {@link #sync}.
 */
public interface StepStore {
    /** These regions are copied. Outlives the process from the moment that this returns, but not a loss of power. */
    void copied(int word, long bits);

    /** These regions are open, so that a crash makes them doubtful. Outlives the process as {@link #copied} does. */
    void open(int word, long bits);

    /** These regions are in step whatever happens. Outlives everything once the next {@link #sync} has completed. */
    void firm(int word, long bits);

    /**
     * Makes every word durable that {@link #firm} has been told of. One at a time.
     *
     * @param durable completes on the loop; an error means that what was kept will not be believed, and that there is no
     *     use in telling this store anything more
     */
    void sync(Completion durable);
}
