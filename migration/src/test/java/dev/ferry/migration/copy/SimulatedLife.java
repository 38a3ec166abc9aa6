package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.Loop;
import dev.ferry.testkit.PassingDevice;
import dev.ferry.testkit.SimLoop;

/** One process in a world that outlives it: once it has died, nothing that it was waiting for comes to pass in it. */
final class SimulatedLife implements Loop {
    private final SimLoop world;
    private boolean over;

    SimulatedLife(SimLoop world) {
        this.world = world;
    }

    void die() {
        over = true;
    }

    private Runnable whileAlive(Runnable task) {
        return () -> {
            if (!over) {
                task.run();
            }
        };
    }

    @Override
    public void execute(Runnable command) {
        world.execute(whileAlive(command));
    }

    @Override
    public boolean inLoop() {
        return true;
    }

    @Override
    public long nanoTime() {
        return world.nanoTime();
    }

    @Override
    public Timer schedule(long delayNanos, Runnable task) {
        return world.schedule(delayNanos, whileAlive(task));
    }

    @Override
    public Alarm alarm(Runnable task) {
        return world.alarm(whileAlive(task));
    }

    Completion whileAlive(Completion completion) {
        return error -> {
            if (!over) {
                completion.complete(error);
            }
        };
    }

    /** A disk as this process has it open. */
    BlockDevice open(BlockDevice disk) {
        return new Open(disk);
    }

    private final class Open extends PassingDevice {
        Open(BlockDevice disk) {
            super(disk);
        }

        @Override
        protected Completion ending(Completion completion) {
            return whileAlive(completion);
        }

        @Override
        public void close(Completion completion) {
            completion.complete(null);
        }
    }
}
