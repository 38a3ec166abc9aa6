package dev.ferry.bench;

import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.Loop;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.filter.Delay;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepMap;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.migration.journal.StepFile;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.migration.journal.StepKey;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * A disk in this process that is mirrored to a target some way off: the stack and the copier of a real move, O_DIRECT, without
 * the daemon around it, so that a part can be left out and the rest compared.
 */
final class MirroredDisk implements AutoCloseable {
    private static final long POOL_BYTES = 256 << 20;
    private static final String BOOT = "this run";

    private final EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
    private final Workspace workspace;
    private final DiskLoop diskLoop;
    private final Stacks stacks;
    private final OpenDisk disk;
    private long delayNanos;
    private int targets;
    private @Nullable LiveMirror live;
    private @Nullable StepFile record;
    private @Nullable CompletableFuture<Boolean> copied;

    MirroredDisk(Workspace workspace, BenchFile file) throws BlockException {
        this.workspace = workspace;
        EventLoop events = loops.all().getFirst();
        diskLoop = new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(POOL_BYTES));
        stacks = new Stacks(List.of(diskLoop), (loop, spec) -> {
            FileDevice opened = FileDevice.open(loop.events(), spec.path(), FileOptions.DIRECT);
            Delay late = new Delay(loop.loop(), opened, new Random(1));
            late.delay(spec.name().startsWith("target") ? delayNanos : 0, 0);
            return late;
        });
        disk = stacks.acquire(new DiskSpec("source", file.path(), Provisioning.THIN, false, true));
    }

    Loop loop() {
        return diskLoop.loop();
    }

    OpenDisk disk() {
        return disk;
    }

    Mirror mirror() {
        return Objects.requireNonNull(live).mirror();
    }

    /**
     * Begins to mirror to a new target, and to copy.
     *
     * @param targetDelayNanos how far off the target is
     * @param recorded whether it is recorded what is in step, as a move does
     */
    void move(long targetDelayNanos, boolean recorded) throws BlockException, IOException {
        delayNanos = targetDelayNanos;
        Path path = workspace.path("target-" + targets++);
        try (RandomAccessFile made = new RandomAccessFile(path.toFile(), "rw")) {
            made.setLength(disk.sizeBytes());
        }
        DiskSide target = stacks.openSide(disk, new DiskSpec("target" + targets, path, Provisioning.THIN, false, true));
        StepMap steps = recorded ? steps() : null;
        LiveMirror inserted = LiveMirror.insert(
                disk,
                target,
                MirrorSettings.DEFAULT,
                why -> {
                    throw new IllegalStateException(why.message());
                },
                steps);
        live = inserted;
        Copier[] copier = {null};
        OnLoop.run(
                loop(),
                () -> copier[0] = new Copier(loop(), inserted.mirror(), diskLoop.buffers(), CopierSettings.DEFAULT));
        copied = OnLoop.start(loop(), done -> Objects.requireNonNull(copier[0]).start(done));
    }

    private StepMap steps() throws IOException {
        int regionBytes = MirrorSettings.DEFAULT.regionBytes();
        StepKey key = new StepKey("bench" + targets, 0, "source", "target", disk.sizeBytes(), regionBytes);
        StepFiles files = new StepFiles(workspace.directory(), BOOT);
        StepFile opened =
                files.open(key, StepFiles.nothing(key), loop(), Thread::startVirtualThread, () -> {}, () -> {});
        record = opened;
        return new StepMap(loop(), opened, StepSettings.forRegions(key.regions()), key.regions());
    }

    boolean copying() {
        return !Objects.requireNonNull(copied).isDone();
    }

    void awaitCopy() throws BlockException {
        OnLoop.join(Objects.requireNonNull(copied));
    }

    /** Takes the mirror out again and deletes the target. The copy is done, and nobody writes. */
    void endMove() throws BlockException, IOException {
        LiveMirror ending = Objects.requireNonNull(live);
        OnLoop.await(loop(), ending.mirror()::closeUp);
        Path path = ending.target().spec().path();
        ending.remove();
        DiskSide target = ending.target();
        OnLoop.await(loop(), ending.mirror()::detach);
        target.close();
        Files.delete(path);
        StepFile kept = record;
        record = null;
        if (kept != null) {
            kept.close();
        }
    }

    @Override
    public void close() throws IOException {
        loops.close();
    }
}
