package dev.ferry.image.vhdx;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.Completion;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.ReadOnlyDevice;
import java.util.Arrays;
import java.util.List;

/** A file as it is to be once the changes in its log are made, which is left as it is. The disk's loop. */
final class ReplayedFile extends ReadOnlyDevice {
    private final BlockDevice file;
    private final List<VhdxLog.Change> changes;

    ReplayedFile(String name, BlockDevice file, List<VhdxLog.Change> changes) {
        super(name, lengthOf(file.lengthBytes(), changes));
        this.file = file;
        this.changes = List.copyOf(changes);
    }

    private static long lengthOf(long length, List<VhdxLog.Change> changes) {
        return Math.max(
                length, changes.stream().mapToLong(VhdxLog.Change::end).max().orElse(0));
    }

    /** Where a change and a range meet. */
    private interface Meeting {
        void at(VhdxLog.Change change, long from, long to);
    }

    private static void meet(List<VhdxLog.Change> changes, long offset, long length, Meeting meeting) {
        for (VhdxLog.Change change : changes) {
            long from = Math.max(offset, change.offset());
            long to = Math.min(offset + length, change.end());
            if (from < to) {
                meeting.at(change, from, to);
            }
        }
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        int there = Math.clamp(file.lengthBytes() - offset, 0, length);
        buffer.zero(at + there, length - there);
        Completion changed = error -> {
            meet(changes, offset, length, (change, from, to) -> {
                byte[] bytes = change.bytes();
                int into = at + (int) (from - offset);
                if (bytes == null) {
                    buffer.zero(into, (int) (to - from));
                } else {
                    buffer.copyFrom(bytes, (int) (from - change.offset()), into, (int) (to - from));
                }
            });
            completion.complete(error);
        };
        if (there == 0) {
            changed.complete(null);
        } else {
            file.read(offset, buffer, at, there, changed);
        }
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        sink.extent(offset, length, 0);
        completion.complete(null);
    }

    @Override
    public void close(Completion completion) {
        file.close(completion);
    }

    /** The same for the code that opens it. */
    record Bytes(FileBytes file, List<VhdxLog.Change> changes) implements FileBytes {
        @Override
        public String name() {
            return file.name();
        }

        @Override
        public long lengthBytes() {
            return lengthOf(file.lengthBytes(), changes);
        }

        @Override
        public void read(long offset, byte[] into, int at, int length) throws BlockException {
            file.read(offset, into, at, length);
            meet(changes, offset, length, (change, from, to) -> {
                byte[] bytes = change.bytes();
                int start = at + (int) (from - offset);
                int end = at + (int) (to - offset);
                if (bytes == null) {
                    Arrays.fill(into, start, end, (byte) 0);
                } else {
                    System.arraycopy(bytes, (int) (from - change.offset()), into, start, end - start);
                }
            });
        }

        @Override
        public void write(long offset, byte[] from, int at, int length) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void resize(long lengthBytes) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void flush() {}
    }
}
