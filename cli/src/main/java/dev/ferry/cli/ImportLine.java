package dev.ferry.cli;

import dev.ferry.server.api.ImportStatus;
import java.util.Optional;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/** How an import comes along, in words: what it does, how much of that is done, how fast, and how long it will take. One thread. */
final class ImportLine implements Supplier<String> {
    private final Supplier<Optional<ImportStatus>> ask;
    private final LongSupplier nanos;
    private String phase = "";
    private long beganNanos;
    private long beganBytes;

    /**
     * A line.
     *
     * @param ask gets the status; empty while there is none
     * @param nanos the time, of any beginning
     */
    ImportLine(Supplier<Optional<ImportStatus>> ask, LongSupplier nanos) {
        this.ask = ask;
        this.nanos = nanos;
    }

    @Override
    public String get() {
        Optional<ImportStatus> told = ask.get();
        if (told.isEmpty() || told.get().totalBytes() == 0) {
            return "";
        }
        ImportStatus now = told.get();
        if (!now.phase().equals(phase)) {
            phase = now.phase();
            beganNanos = nanos.getAsLong();
            beganBytes = now.doneBytes();
        }
        // The rate is that of what has been seen, and the time that is left goes by it.
        long seenNanos = nanos.getAsLong() - beganNanos;
        return phase + " " + CopyLine.line(now.doneBytes(), now.totalBytes(), now.doneBytes() - beganBytes, seenNanos);
    }
}
