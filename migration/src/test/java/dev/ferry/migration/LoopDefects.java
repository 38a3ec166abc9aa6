package dev.ferry.migration;

import java.util.concurrent.atomic.AtomicReference;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.jspecify.annotations.Nullable;

/**
 * What went wrong on event loops, which tell their log and go on. Whoever waits for what such a loop was about to do waits in vain; a test
 * that looks here fails at once. Any thread.
 */
final class LoopDefects extends Handler {
    private final Logger logger = Logger.getLogger("dev.ferry.reactor");
    private final AtomicReference<@Nullable Throwable> first = new AtomicReference<>();

    LoopDefects() {
        logger.addHandler(this);
    }

    /** @throws AssertionError with the first defect, if there was one */
    void check() {
        Throwable defect = first.get();
        if (defect != null) {
            throw new AssertionError("an event loop is broken", defect);
        }
    }

    @Override
    public void publish(LogRecord record) {
        Throwable thrown = record.getThrown();
        if (thrown != null) {
            first.compareAndSet(null, thrown);
        }
    }

    @Override
    public void flush() {}

    @Override
    public void close() {
        logger.removeHandler(this);
    }
}
