package dev.ferry.migration.chain;

import dev.ferry.block.Completion;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.Paced;
import dev.ferry.migration.copy.Populator;

/** The copying that a job has done, whoever does it. Thread: the loop's. */
interface ChainWork {
    void start(Completion whenDone);

    void stop();

    void rate(long bytesPerSecond);

    long doneBytes();

    long totalBytes();

    Paced paced();

    static ChainWork of(Copier copier) {
        return new ChainWork() {
            @Override
            public void start(Completion whenDone) {
                copier.start(whenDone);
            }

            @Override
            public void stop() {
                copier.stop(idle -> {});
            }

            @Override
            public void rate(long bytesPerSecond) {
                copier.rate(bytesPerSecond);
            }

            @Override
            public long doneBytes() {
                return copier.progress().doneBytes();
            }

            @Override
            public long totalBytes() {
                return copier.progress().workBytes();
            }

            @Override
            public Paced paced() {
                return copier;
            }
        };
    }

    static ChainWork of(Populator populator) {
        return new ChainWork() {
            @Override
            public void start(Completion whenDone) {
                populator.start(whenDone);
            }

            @Override
            public void stop() {
                populator.stop();
            }

            @Override
            public void rate(long bytesPerSecond) {
                populator.rate(bytesPerSecond);
            }

            @Override
            public long doneBytes() {
                return populator.doneBytes();
            }

            @Override
            public long totalBytes() {
                return populator.totalBytes();
            }

            @Override
            public Paced paced() {
                return populator;
            }
        };
    }
}
