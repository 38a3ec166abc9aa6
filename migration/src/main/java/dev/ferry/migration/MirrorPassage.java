package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.stack.Crossing;
import dev.ferry.stack.LiveMirror;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The passage through a mirror, and into the one that runs the other way where there is one. Thread: that of the move. */
final class MirrorPassage implements Carrier.Passage {
    private static final Logger LOG = LoggerFactory.getLogger(MirrorPassage.class);

    private final OpenDisk disk;
    private final Crossing crossing;
    private final @Nullable LiveMirror back;
    private final Runnable behind;

    /**
     * @param back the mirror that keeps the source in step from then on; null: none does
     * @param behind run on the loop if the target turns out to be behind
     */
    MirrorPassage(OpenDisk disk, Crossing crossing, @Nullable LiveMirror back, Runnable behind) {
        this.disk = disk;
        this.crossing = crossing;
        this.back = back;
        this.behind = behind;
    }

    @Override
    public void await() throws BlockException {
        try {
            crossing.awaitRest();
        } catch (BlockException e) {
            if (e.kind() == ErrorKind.UNAVAILABLE) {
                OnLoop.run(disk.loop().loop(), behind);
            }
            throw e;
        }
    }

    @Override
    public void giveUp() throws BlockException {
        crossing.giveUp();
    }

    @Override
    public CompletableFuture<Long> pass() {
        return crossing.pass(back).thenApply(pause -> {
            LOG.info("disk {}: switched, {}", disk.name(), pause);
            return pause.totalNanos();
        });
    }
}
