package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorListener;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.filter.mirror.TargetLoss;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/**
 * The mirror that carries a disk, and the record of what is in step: put into the stack, taken up with a target, turned.
 *
 * <p>Thread: that of the move; what it knows of the mirror it asks on the disk's loop.
 */
abstract class CarriedMirror implements Carrier {
    final OpenDisk disk;
    final Events events;
    final Executor workers;
    final Loop loop;
    final MirrorSettings mirrorSettings;
    final LongFunction<StepSettings> stepSettings;
    private @Nullable LiveMirror live;
    private @Nullable MirrorSteps steps;
    private @Nullable BlockError lost;

    CarriedMirror(OpenDisk disk, Events events, CarrierSettings settings) {
        this.disk = disk;
        this.events = events;
        this.mirrorSettings = settings.mirror();
        this.stepSettings = settings.steps();
        this.workers = settings.workers();
        this.loop = disk.loop().loop();
    }

    final LiveMirror live() {
        return Objects.requireNonNull(live);
    }

    /** True once the mirror is, or has been, in the stack. */
    final boolean inserted() {
        return live != null;
    }

    Mirror mirror() {
        return live().mirror();
    }

    /** What kind of mirror it is. */
    LiveMirror.Maker maker() {
        return Mirror::new;
    }

    /** Puts the mirror in, with a target on which nothing is in step yet. */
    final void insert(DiskSide target, DiskSteps record) throws BlockException {
        MirrorSteps made = shape().fresh(record);
        steps = made;
        live = LiveMirror.insert(disk, target, mirrorSettings, listener(), made.map(), maker());
    }

    @Override
    public StepFiles.Found guard(DiskSteps record) throws BlockException {
        StepFiles.Found found = record.read(mirrorSettings.regionBytes(), sourceFormat());
        MirrorSteps made = shape().found(found, record);
        steps = made;
        // Without a record nobody knows where the target has been written, so that none of it is taken for zeroes.
        MirrorSettings settings = made.kept() ? mirrorSettings : withoutZeroTarget();
        live = LiveMirror.insert(disk, null, settings, listener(), made.map(), maker());
        return found;
    }

    /** Begins as the way back of another: its mirror is put in when the guest passes. */
    final void turnFrom(CarriedMirror forward, DiskSteps record) throws BlockException {
        MirrorSteps made = shape().turned(Objects.requireNonNull(forward.steps), record);
        steps = made;
        live = forward.live().turned(mirrorSettings, listener(), Objects.requireNonNull(made.map()));
    }

    /** By which it is judged what of the source has outlived the process. */
    ImageFormat sourceFormat() {
        return disk.side().spec().format();
    }

    final MirrorSettings withoutZeroTarget() {
        return mirrorSettings.withoutZeroTarget();
    }

    private MirrorSteps.Shape shape() {
        int bytes = mirrorSettings.regionBytes();
        long regions = (disk.sizeBytes() + bytes - 1) / bytes;
        return new MirrorSteps.Shape(loop, stepSettings.apply(regions), bytes, regions);
    }

    private MirrorListener listener() {
        return new MirrorListener() {
            @Override
            public void targetLost(BlockError why) {
                lost = why;
                events.targetLost(why);
            }

            @Override
            public void recordLost(BlockError why) {
                events.recordLost(why);
            }
        };
    }

    /** What a target that was lost is believed to have hangs on why it was lost. */
    final void takeUp(DiskSide target) throws BlockException {
        BlockError why = lost;
        live().attach(target, why == null || TargetLoss.keepsUnflushed(why));
    }

    @Override
    public boolean attached() throws BlockException {
        return OnLoop.get(loop, () -> mirror().attached());
    }

    @Override
    public int regionBytes() {
        return mirrorSettings.regionBytes();
    }

    @Override
    public CompletableFuture<Boolean> flush() {
        return OnLoop.start(loop, settled -> mirror().closeUp(inStep -> mirror().settle(settled)));
    }

    @Override
    public void loosen() throws BlockException {
        OnLoop.run(loop, mirror()::trailAgain);
    }

    @Override
    public long behindBytes() throws BlockException {
        return OnLoop.get(loop, () -> mirror().pendingBytes());
    }

    /** Nothing is in flight: what is in step is closed in the record. */
    final void settleSteps() throws BlockException {
        MirrorSteps record = steps;
        if (record != null) {
            record.settle(loop);
        }
    }

    void closeSteps() {
        MirrorSteps record = steps;
        if (record != null) {
            record.close();
        }
    }
}
