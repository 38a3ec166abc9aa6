package dev.ferry.migration.chain;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.LatencyWatch;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.migration.SpeedMeter;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.migration.copy.PaceController;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.copy.Populator;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveChain;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One job, on a thread of its own. What others want of it they put into its mailbox.
 *
 * <p>A commit: the mirror is put in; what the layers hold is copied; at an instant of rest, with all in step and durable, the record
 * says that the base is the disk; the guest goes on there; the names of the files follow. Streaming: what shows through is taken over;
 * then the overlay's header says what it lies over.
 */
final class ChainJob implements Runnable {
    private static final Logger LOG = LoggerFactory.getLogger(ChainJob.class);
    private static final long LOOK_NANOS = 250_000_000;
    private static final long PAUSE_AGAIN_NANOS = 100_000_000;
    private static final int SWITCHES_MAX = 50;
    private static final long REGIONS_MAX = 1 << 20;

    private enum Wish {
        NONE,
        CANCEL,
        SUSPEND
    }

    /** The copying has ended. */
    private record Ended(@Nullable BlockError error) {}

    /** The base does not take what it is given. */
    private record Lost(BlockError why) {}

    private final ChainHost host;
    private final LinkedBlockingQueue<Object> mailbox = new LinkedBlockingQueue<>();
    private final SpeedMeter speed = new SpeedMeter();
    private volatile ChainRecord record;
    private volatile String state = "running";
    private volatile @Nullable String problem;
    private volatile long doneBytes;
    private volatile long totalBytes;
    private volatile long speedNow;
    private volatile @Nullable Long secondsLeft;
    private Wish wish = Wish.NONE;

    ChainJob(ChainHost host, ChainRecord record) {
        this.host = host;
        this.record = record;
    }

    /** One that was decided before a crash, and has been brought to its end. */
    static ChainJob brought(ChainHost host, ChainRecord record) {
        ChainJob job = new ChainJob(host, record);
        job.state = "done";
        return job;
    }

    ChainStatus status() {
        ChainRecord now = record;
        Path base = now.base();
        boolean running = state.equals("running");
        return new ChainStatus(
                now.disk(),
                now.kind().text(),
                base == null ? null : base.toString(),
                state,
                doneBytes,
                totalBytes,
                now.bytesPerSecond(),
                running ? speedNow : 0,
                running ? secondsLeft : null,
                problem);
    }

    ChainRecord record() {
        return record;
    }

    void cancel() {
        mailbox.add(Wish.CANCEL);
    }

    void suspend() {
        mailbox.add(Wish.SUSPEND);
    }

    void rate(long bytesPerSecond) {
        mailbox.add(bytesPerSecond);
    }

    // ---- its thread

    @Override
    public void run() {
        String end = "done";
        try {
            OpenDisk disk = host.acquire(record.disk());
            try {
                boolean whole = record.kind() == ChainRecord.Kind.COMMIT ? commit(disk) : stream(disk);
                if (wish == Wish.SUSPEND && !whole) {
                    end = "running";
                    return;
                }
                end = whole ? "done" : "cancelled";
            } finally {
                host.release(disk);
            }
            record.delete(host.directory());
        } catch (IOException | RuntimeException failed) {
            end = "failed";
            problem = failed instanceof BlockException known
                    ? known.error().message()
                    : String.valueOf(failed.getMessage());
            LOG.warn("{} of disk {} has failed", record.kind().text(), record.disk(), failed);
            if (!record.decided()) {
                forget();
            }
        } finally {
            state = end;
            host.ended(this);
        }
    }

    private void forget() {
        try {
            record.delete(host.directory());
        } catch (IOException stays) {
            LOG.warn("the job of disk {} is begun again with the next start: {}", record.disk(), stays.getMessage());
        }
    }

    // ---- commit

    /** @return false if it was called off, or is to go on another time */
    private boolean commit(OpenDisk disk) throws BlockException, IOException {
        LiveChain live = LiveChain.of(disk);
        DiskSide base = live.openBase(depthOf(live.chain()));
        LiveMirror mirror = null;
        boolean passed = false;
        try {
            mirror = live.mirror(base, settings(disk.sizeBytes()), why -> mailbox.add(new Lost(why)));
            Loop loop = disk.loop().loop();
            LiveMirror in = mirror;
            Copier copier = OnLoop.get(
                    loop, () -> new Copier(loop, in.mirror(), disk.loop().buffers(), CopierSettings.DEFAULT));
            passed = work(disk, ChainWork.of(copier)) && pass(mirror);
        } finally {
            if (!passed) {
                undo(disk, live, base, mirror);
            }
        }
        if (!passed) {
            return false;
        }
        // Decided: whatever fails from here on, the next start brings it to its end.
        Path named = host.rename(record);
        mirror.finish(named);
        return true;
    }

    private int depthOf(Chain chain) throws BlockException {
        for (int i = 1; i <= chain.depth(); i++) {
            if (chain.layers().get(i).path().equals(record.base())) {
                return i;
            }
        }
        throw BlockError.of(
                        ErrorKind.INVALID,
                        "disk " + record.disk(),
                        record.kind().text(),
                        "its chain has changed")
                .toException();
    }

    /** Regions small enough that little is copied in vain, and not too many. */
    private static MirrorSettings settings(long sizeBytes) {
        int regionBytes = 64 << 10;
        while (sizeBytes / regionBytes > REGIONS_MAX && regionBytes < 64 << 20) {
            regionBytes *= 2;
        }
        return new MirrorSettings(regionBytes, MirrorSettings.DEFAULT.targetStallNanos(), false);
    }

    private boolean pass(LiveMirror mirror) throws BlockException {
        for (int tried = 1; ; tried++) {
            try {
                var _ = mirror.switchOver(this::decide);
                return true;
            } catch (BlockException late) {
                if (record.decided() || late.kind() != ErrorKind.TIMED_OUT || tried == SWITCHES_MAX) {
                    throw late;
                }
                if (looked(PAUSE_AGAIN_NANOS)) {
                    return false;
                }
            }
        }
    }

    private void decide() throws BlockException {
        ChainRecord decided = record.asDecided();
        try {
            decided.write(host.directory());
        } catch (IOException failed) {
            throw BlockError.of(
                            ErrorKind.IO,
                            "disk " + record.disk(),
                            "commit",
                            "the job cannot be recorded: " + failed.getMessage())
                    .toException();
        }
        record = decided;
    }

    private void undo(OpenDisk disk, LiveChain live, DiskSide base, @Nullable LiveMirror mirror) {
        try {
            if (mirror != null) {
                mirror.remove();
                OnLoop.await(disk.loop().loop(), idle -> mirror.mirror().detach(idle));
            }
            live.closeBase(base);
        } catch (BlockException | RuntimeException failed) {
            LOG.warn("disk {}: what a commit put in is not all out again", disk.name(), failed);
        }
    }

    // ---- streaming

    private boolean stream(OpenDisk disk) throws BlockException, IOException {
        int depth = 0;
        if (Chain.of(disk.loop(), disk.side().spec(), host.opener()).depth() == 0) {
            return true;
        }
        LiveChain live = LiveChain.of(disk);
        if (record.base() != null) {
            depth = depthOf(live.chain());
            if (depth == 1) {
                return true;
            }
        }
        BlockDevice below = live.between(depth);
        Loop loop = disk.loop().loop();
        try {
            boolean hides = depth > 0;
            Populator populator =
                    OnLoop.get(loop, () -> new Populator(loop, live.overlay(), below, hides, record.bytesPerSecond()));
            if (!work(disk, ChainWork.of(populator))) {
                return false;
            }
        } finally {
            OnLoop.await(loop, below::close);
        }
        live.link(depth);
        return true;
    }

    // ---- working

    /**
     * Has the work done, beside the guest.
     *
     * @return false if it was called off
     */
    private boolean work(OpenDisk disk, ChainWork work) throws BlockException {
        Loop loop = disk.loop().loop();
        PaceController controller = OnLoop.get(loop, () -> {
            LatencyWatch watch = new LatencyWatch();
            disk.watch(watch);
            work.rate(record.bytesPerSecond());
            PaceController made = new PaceController(loop, watch, PaceSettings.DEFAULT);
            made.steer(work.paced());
            work.start(error -> mailbox.add(new Ended(error)));
            return made;
        });
        try {
            return await(loop, work);
        } finally {
            OnLoop.run(loop, () -> {
                controller.stop();
                disk.watch(null);
            });
        }
    }

    private boolean await(Loop loop, ChainWork work) throws BlockException {
        @Nullable BlockError lost = null;
        while (true) {
            Object word = next(LOOK_NANOS);
            switch (word) {
                case Ended end -> {
                    sample(loop, work);
                    BlockError error = lost == null ? end.error() : lost;
                    if (error != null && wish == Wish.NONE) {
                        throw error.toException();
                    }
                    return error == null && wish == Wish.NONE;
                }
                case Lost target -> {
                    lost = target.why();
                    OnLoop.run(loop, work::stop);
                }
                case Long rate -> changeRate(loop, work, rate);
                case Wish wanted
                when wanted != Wish.NONE -> {
                    wish = wanted;
                    OnLoop.run(loop, work::stop);
                }
                default -> sample(loop, work);
            }
        }
    }

    private void changeRate(Loop loop, ChainWork work, long rate) throws BlockException {
        OnLoop.run(loop, () -> work.rate(rate));
        ChainRecord changed = record.withRate(rate);
        record = changed;
        try {
            changed.write(host.directory());
        } catch (IOException failed) {
            LOG.warn("the rate of the job of disk {} is not kept: {}", changed.disk(), failed.getMessage());
        }
    }

    private void sample(Loop loop, ChainWork work) throws BlockException {
        long[] now = OnLoop.get(loop, () -> new long[] {work.doneBytes(), work.totalBytes(), loop.nanoTime()});
        doneBytes = now[0];
        totalBytes = now[1];
        speed.sample(now[2], now[0]);
        speedNow = speed.bytesPerSecond();
        secondsLeft = speed.secondsFor(now[1] - now[0]);
    }

    private Object next(long nanos) {
        try {
            return Objects.requireNonNullElse(mailbox.poll(nanos, TimeUnit.NANOSECONDS), Wish.NONE);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return Wish.SUSPEND;
        }
    }

    /** @return true if it is to end */
    private boolean looked(long nanos) {
        Object word = next(nanos);
        if (word instanceof Wish wanted && wanted != Wish.NONE) {
            wish = wanted;
        }
        return wish != Wish.NONE;
    }
}
