package dev.ferry.migration;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.mirror.Mirror;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.snapshot.Layers;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.migration.copy.Copier;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Overlays;
import dev.ferry.stack.Stacks;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings what is in the overlays of a disk back into its own file, while a guest works on it or while nobody does: a mirror
 * whose source is the disk in its layers and whose target is the file below them. Where the overlays hold nothing the two
 * are the same to begin with. When all is in step, and durable, the guest is sent to the file, and the overlays go.
 *
 * <p>Whatever happens before that, the layers are the disk: what has been written below them does not show through.
 *
 * <p>Thread: one of the control plane; calls block for as long as it takes.
 */
final class Merging {
    private static final Logger LOG = LoggerFactory.getLogger(Merging.class);

    private final OpenDisk disk;
    private final Loop loop;
    private final Layers layers;
    private final Overlays overlays;
    private final DirtyBitmap content;
    private final MirrorSettings settings;
    private final CompletableFuture<Boolean> copied = new CompletableFuture<>();
    /** On the loop. */
    private @Nullable Copier copier;

    private boolean stopped;

    /**
     * Of the layers of a disk that is open.
     *
     * @param content what the overlays hold, marked as it is changed; of the granularity of {@code settings}
     */
    Merging(OpenDisk disk, Layers layers, Overlays overlays, DirtyBitmap content, MirrorSettings settings) {
        this.disk = disk;
        this.loop = disk.loop().loop();
        this.layers = layers;
        this.overlays = overlays;
        this.content = content;
        this.settings = settings;
    }

    /** Ends it early, where it has far to go: the layers stay, and are the disk. Any thread; does not wait. */
    void stop() {
        loop.execute(() -> {
            stopped = true;
            Copier running = copier;
            if (running != null) {
                running.stop(idle -> {});
            }
        });
    }

    /**
     * Merges.
     *
     * @param begun told on the loop what copies, to be steered
     * @throws BlockException if the file cannot be written, or it was stopped; the guest goes on on the layers then
     */
    void run(Consumer<Copier> begun) throws BlockException {
        Mirror[] made = new Mirror[1];
        OnLoop.await(loop, layers::flush);
        overlays.atRest(() -> {
            Mirror mirror = inPlace();
            made[0] = mirror;
            Copier copies = new Copier(loop, mirror, disk.loop().buffers(), CopierSettings.DEFAULT);
            copier = copies;
            begun.accept(copies);
            copies.start(error -> {
                if (error == null) {
                    copied.complete(true);
                } else {
                    copied.completeExceptionally(error.toException());
                }
            });
            if (stopped) {
                copies.stop(idle -> {});
            }
        });
        Mirror mirror = made[0];
        OnLoop.join(copied);
        OnLoop.await(loop, mirror::settle);
        CompletableFuture<Boolean> durable = new CompletableFuture<>();
        overlays.atRest(() -> {
            boolean inStep = mirror.attached() && mirror.pendingBytes() == 0;
            if (inStep) {
                mirror.detach(idle -> {});
                layers.replace(layers.base());
            }
            durable.complete(inStep);
        });
        if (!OnLoop.join(durable)) {
            throw BlockError.of(
                            ErrorKind.IO,
                            "disk " + disk.name(),
                            "merge",
                            "its own file is not in step with its overlays")
                    .toException();
        }
        // What the guest wrote since the flush is in the file, and in no overlay that would be missed.
        OnLoop.await(loop, layers.base()::flush);
        overlays.drop();
    }

    /** On the loop, at rest: puts the mirror on top of the layers. */
    private Mirror inPlace() {
        BlockDevice view = layers.top();
        MirrorSettings how = new MirrorSettings(settings.regionBytes(), settings.targetStallNanos(), false);
        Mirror mirror =
                new Mirror(loop, view, layers.base(), how, why -> copied.completeExceptionally(why.toException()));
        for (long region = 0; region < mirror.regions(); region++) {
            if (!content.isDirty(mirror.regionOffset(region), mirror.regionLength(region))) {
                mirror.inStep(region);
            }
        }
        layers.replace(mirror);
        return mirror;
    }

    /**
     * Merges what a crash left, before anybody opens the disk. Does nothing where there is nothing, or where the disk is open
     * and its layers are in use.
     */
    static void settle(Stacks stacks, DiskSpec spec) throws BlockException {
        List<Path> files = Overlays.of(spec.path());
        if (stacks.find(spec.name()).isPresent()) {
            return;
        }
        if (files.isEmpty()) {
            // Of what a crash left when it came between two of their deletions, or while one was made.
            Overlays.delete(spec.path());
            return;
        }
        OpenDisk disk = stacks.acquire(spec);
        try {
            Layers layers = new Layers(disk.side().device());
            Overlays overlays = new Overlays(disk, layers);
            MirrorSettings settings =
                    StrategySettings.of(Strategy.SNAPSHOT, 1).regionsOf(disk.sizeBytes(), MirrorSettings.DEFAULT);
            DirtyBitmap content = new DirtyBitmap(disk.sizeBytes(), settings.regionBytes());
            overlays.found(files, content);
            LOG.info("disk {}: {} bytes in {} overlays are merged", spec.name(), content.dirtyBytes(), files.size());
            new Merging(disk, layers, overlays, content, settings).run(copies -> {});
        } finally {
            stacks.release(disk);
        }
    }
}
