package dev.ferry.filter.mirror;

import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** A request that goes on as several: ends once, when all have, with the first error of the source. Pooled. */
final class Joint implements Completion {
    private final Mirror mirror;
    /** The end of a part on the target, whose errors are not the guest's. */
    final Completion targetEnd = error -> part(null);

    /** The same for a flush, after whose failure the target may have lost what it had been given. */
    final Completion targetFlushEnd = this::targetFlushed;

    @Nullable
    Joint nextFree;

    private @Nullable Completion completion;
    private @Nullable BlockError error;
    private int parts;

    Joint(Mirror mirror) {
        this.mirror = mirror;
    }

    /** Begins with one part, which its maker ends when all others have been submitted. */
    void begin(Completion whole) {
        completion = whole;
        error = null;
        parts = 1;
    }

    void add() {
        parts++;
    }

    @Override
    public void complete(@Nullable BlockError partError) {
        part(partError);
    }

    private void targetFlushed(@Nullable BlockError targetError) {
        if (targetError != null) {
            mirror.targetFlushFailed();
        }
        part(null);
    }

    private void part(@Nullable BlockError partError) {
        if (error == null) {
            error = partError;
        }
        if (--parts == 0) {
            Completion whole = Objects.requireNonNull(completion);
            BlockError result = error;
            completion = null;
            mirror.recycle(this);
            whole.complete(result);
        }
    }
}
