package dev.ferry.bench;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.ReactorLoop;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.wire.ReplyStyle;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.OnLoop;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A load by Ferry's own client: one connection to each of some exports, all of them on one loop, and on each so many
 * requests in flight. For what fio's nbd engine cannot ask for. Thread: any, one at a time; calls block.
 */
final class ClientLoad implements AutoCloseable {
    /** Of more requests than these, the later ones are not among the latencies. */
    private static final int LATENCIES_MAX = 1 << 21;

    private final EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
    private final ReactorLoop loop;
    private final List<NbdClientDevice> disks = new ArrayList<>();

    /** Connects. */
    ClientLoad(List<String> uris) {
        EventLoop events = loops.all().getFirst();
        loop = new ReactorLoop(events);
        try {
            for (String uri : uris) {
                disks.add(NbdClientDevice.open(events, NbdUri.parse(uri), ClientSettings.DEFAULT));
            }
        } catch (BlockException failed) {
            close();
            throw new BenchException("no connection: " + failed.getMessage(), failed);
        }
    }

    /** What the first server and this client have agreed on. */
    ReplyStyle replies() {
        return disks.getFirst().terms().replies();
    }

    /**
     * Runs {@code workload} on each export.
     *
     * @param sizeBytes how much of each is used
     */
    LoadResult run(long sizeBytes, Workload workload, int seconds) {
        Run run = new Run(sizeBytes, workload);
        try {
            OnLoop.run(loop, run::start);
            TimeUnit.SECONDS.sleep(seconds);
            LoadResult result = OnLoop.get(loop, run::stop);
            OnLoop.join(run.over);
            return result;
        } catch (BlockException failed) {
            throw new BenchException("the load failed: " + failed.getMessage(), failed);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new BenchException("interrupted", interrupted);
        }
    }

    @Override
    public void close() {
        try {
            for (NbdClientDevice disk : disks) {
                OnLoop.await(loop, disk::close);
            }
        } catch (BlockException failed) {
            throw new BenchException("a connection does not close: " + failed.getMessage(), failed);
        } finally {
            loops.close();
        }
    }

    /** One run; on the loop, but for its making. */
    private final class Run {
        private final Workload workload;
        private final long blocks;
        private final SplittableRandom random = new SplittableRandom(7);
        private final List<Lane> lanes = new ArrayList<>();
        private final long[] latencies = new long[LATENCIES_MAX];
        private final CompletableFuture<Boolean> over = new CompletableFuture<>();
        private long operations;
        private long begunNanos;
        private int running;
        private boolean stopped;
        private @Nullable BlockError failure;

        Run(long sizeBytes, Workload workload) {
            this.workload = workload;
            this.blocks = sizeBytes / workload.blockBytes();
            for (BlockDevice disk : disks) {
                Position position = new Position();
                for (int i = 0; i < workload.depth(); i++) {
                    lanes.add(new Lane(disk, position));
                }
            }
        }

        void start() {
            begunNanos = loop.nanoTime();
            running = lanes.size();
            lanes.forEach(Lane::next);
        }

        LoadResult stop() {
            stopped = true;
            double seconds = (loop.nanoTime() - begunNanos) / 1e9;
            int kept = (int) Math.min(operations, LATENCIES_MAX);
            Arrays.sort(latencies, 0, kept);
            double medianMicros = kept == 0 ? Double.NaN : latencies[kept / 2] / 1000.0;
            return new LoadResult(operations, operations / seconds, medianMicros);
        }

        private void ended() {
            running--;
            if (running == 0) {
                if (failure == null) {
                    over.complete(true);
                } else {
                    over.completeExceptionally(failure.toException());
                }
            }
        }

        /** Where in an export the next one of a sequence is. */
        private static final class Position {
            private long block;
        }

        private final class Lane implements Completion {
            private final BlockDevice disk;
            private final Position position;
            private final IoBuffer buffer = IoBuffer.allocate(workload.blockBytes());
            private long startNanos;

            Lane(BlockDevice disk, Position position) {
                this.disk = disk;
                this.position = position;
                buffer.segment().fill((byte) 0x5a);
            }

            void next() {
                int length = workload.blockBytes();
                long block = workload.random() ? random.nextLong(blocks) : position.block++ % blocks;
                startNanos = loop.nanoTime();
                // Over a wire no request ends before this returns.
                if (workload.reads()) {
                    disk.read(block * length, buffer, 0, length, this);
                } else {
                    disk.write(block * length, buffer, 0, length, 0, this);
                }
            }

            @Override
            public void complete(@Nullable BlockError error) {
                if (error != null) {
                    failure = error;
                }
                if (stopped || failure != null) {
                    ended();
                    return;
                }
                if (operations < LATENCIES_MAX) {
                    latencies[(int) operations] = loop.nanoTime() - startNanos;
                }
                operations++;
                next();
            }
        }
    }
}
