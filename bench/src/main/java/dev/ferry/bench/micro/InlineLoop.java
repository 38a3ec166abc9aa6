package dev.ferry.bench.micro;

import dev.ferry.block.Loop;

/** A loop on the thread that calls it, for devices that end every request at once. Timers never fire. */
final class InlineLoop implements Loop {
    @Override
    public void execute(Runnable command) {
        command.run();
    }

    @Override
    public boolean inLoop() {
        return true;
    }

    @Override
    public long nanoTime() {
        return System.nanoTime();
    }

    @Override
    public Timer schedule(long delayNanos, Runnable task) {
        return () -> {};
    }

    @Override
    public Alarm alarm(Runnable task) {
        return new Alarm() {
            @Override
            public void set(long delayNanos) {
                // As above: no time passes here.
            }

            @Override
            public void cancel() {
                // Nothing was set.
            }
        };
    }
}
