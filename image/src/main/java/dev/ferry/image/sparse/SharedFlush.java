package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Has a file made durable for many who ask: one flush is under way at a time, and all who come meanwhile share the next one. The
 * disk's loop.
 */
final class SharedFlush implements Completion {
    private final BlockDevice file;
    private List<Completion> coming = new ArrayList<>();
    private List<Completion> covered = new ArrayList<>();
    private boolean busy;
    private boolean pumping;

    SharedFlush(BlockDevice file) {
        this.file = file;
    }

    /** Ends when all writes that had ended before are durable. */
    void await(Completion whenDurable) {
        coming.add(whenDurable);
        pump();
    }

    private void pump() {
        if (pumping) {
            return;
        }
        pumping = true;
        while (!busy && !coming.isEmpty()) {
            busy = true;
            covered = coming;
            coming = new ArrayList<>();
            file.flush(this);
        }
        pumping = false;
    }

    @Override
    public void complete(@Nullable BlockError error) {
        List<Completion> ended = covered;
        busy = false;
        for (Completion one : ended) {
            one.complete(error);
        }
        pump();
    }
}
