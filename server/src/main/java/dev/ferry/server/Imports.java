package dev.ferry.server;

import dev.ferry.server.api.ImportStatus;
import dev.ferry.server.api.ProblemException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.LongSupplier;

/** Imports under way, by the name that was asked for. Any thread. */
final class Imports {
    private final Map<String, Progress> underWay = new ConcurrentHashMap<>();

    /** How far one import is; told by the thread that does it, read by others. */
    static final class Progress implements AutoCloseable {
        private final Map<String, Progress> among;
        private final String name;
        private volatile ImportStatus status = new ImportStatus("verifying", 0, 0);
        private volatile LongSupplier copied = () -> 0;

        private Progress(Map<String, Progress> among, String name) {
            this.among = among;
            this.name = name;
        }

        /** Digests are verified, so far of as many bytes. */
        void verified(long doneBytes, long totalBytes) {
            status = new ImportStatus("verifying", doneBytes, totalBytes);
        }

        /** All that there is to copy, in one disk or several. */
        void copying(long totalBytes) {
            status = new ImportStatus("copying", 0, totalBytes);
        }

        /** One disk begins, which tells by itself how far it is. */
        void disk(LongSupplier doneBytes) {
            copied = doneBytes;
        }

        /** The disk that was begun is copied. */
        void diskDone(long sizeBytes) {
            ImportStatus was = status;
            copied = () -> 0;
            status = new ImportStatus(was.phase(), was.doneBytes() + sizeBytes, was.totalBytes());
        }

        ImportStatus status() {
            ImportStatus now = status;
            long done = Math.min(now.doneBytes() + copied.getAsLong(), now.totalBytes());
            return new ImportStatus(now.phase(), done, now.totalBytes());
        }

        @Override
        public void close() {
            among.remove(name, this);
        }
    }

    /** Begins to tell of an import, until that is closed. */
    Progress begin(String name) {
        Progress progress = new Progress(underWay, name);
        underWay.put(name, progress);
        return progress;
    }

    ImportStatus status(String name) throws ProblemException {
        Progress progress = underWay.get(name);
        if (progress == null) {
            throw Problems.notFound("no import of " + name + " is under way");
        }
        return progress.status();
    }
}
