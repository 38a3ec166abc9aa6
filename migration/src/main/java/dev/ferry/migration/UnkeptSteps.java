package dev.ferry.migration;

import dev.ferry.block.Completion;
import dev.ferry.filter.mirror.StepStore;

/** Stands where a record of regions in step cannot be kept: after a crash nothing is known to be in step. */
final class UnkeptSteps implements StepStore {
    @Override
    public void copied(int word, long bits) {}

    @Override
    public void open(int word, long bits) {}

    @Override
    public void firm(int word, long bits) {}

    @Override
    public void sync(Completion durable) {
        durable.complete(null);
    }
}
