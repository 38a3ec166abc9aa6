package dev.ferry.migration.copy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Capabilities;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
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

    private final class Open implements BlockDevice {
        private final BlockDevice disk;

        Open(BlockDevice disk) {
            this.disk = disk;
        }

        @Override
        public Geometry geometry() {
            return disk.geometry();
        }

        @Override
        public Capabilities capabilities() {
            return disk.capabilities();
        }

        @Override
        public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
            disk.read(offset, buffer, at, length, whileAlive(completion));
        }

        @Override
        public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
            disk.write(offset, buffer, at, length, flags, whileAlive(completion));
        }

        @Override
        public void writeZeroes(long offset, long length, int flags, Completion completion) {
            disk.writeZeroes(offset, length, flags, whileAlive(completion));
        }

        @Override
        public void discard(long offset, long length, int flags, Completion completion) {
            disk.discard(offset, length, flags, whileAlive(completion));
        }

        @Override
        public void flush(Completion completion) {
            disk.flush(whileAlive(completion));
        }

        @Override
        public void extents(long offset, long length, ExtentSink sink, Completion completion) {
            disk.extents(offset, length, sink, whileAlive(completion));
        }

        @Override
        public void close(Completion completion) {
            completion.complete(null);
        }
    }
}
