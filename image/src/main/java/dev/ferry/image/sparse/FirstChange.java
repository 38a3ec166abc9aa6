package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.Overlay;
import java.util.ArrayDeque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Holds the first change to a disk back until its files say that it is changed: what tells its content from others is another
 * one, so that deltas that were made over the former content are found out, and its extents are marked as open. When the disk
 * is closed the extents are marked as closed properly again. A disk that is only read stays as it is.
 *
 * <p>Thread: the disk's loop.
 */
public final class FirstChange extends FilterDevice implements Overlay {
    private final List<Mark> marks;
    private final ArrayDeque<Runnable> held = new ArrayDeque<>();
    private boolean marking;
    private boolean marked;
    private @Nullable BlockError failed;

    /**
     * A few bytes in a file.
     *
     * @param during what they are from the first change on
     * @param after what they are when the disk has been closed; the same where they stay
     */
    public record Mark(BlockDevice file, long offset, IoBuffer during, IoBuffer after) {
        public static Mark of(BlockDevice file, long offset, byte[] during, byte[] after) {
            return new Mark(file, offset, buffer(during), buffer(after));
        }

        private static IoBuffer buffer(byte[] bytes) {
            IoBuffer buffer = IoBuffer.allocate(bytes.length);
            buffer.copyFrom(bytes, 0, 0, bytes.length);
            return buffer;
        }
    }

    public FirstChange(BlockDevice disk, List<Mark> marks) {
        super(disk);
        this.marks = List.copyOf(marks);
    }

    @Override
    public long belowBytes() {
        return next instanceof Overlay over ? over.belowBytes() : 0;
    }

    private void hold(Runnable change, Completion completion) {
        held.add(() -> {
            BlockError problem = failed;
            if (problem == null) {
                change.run();
            } else {
                completion.complete(problem);
            }
        });
        if (!marking) {
            marking = true;
            failed = null;
            mark(0, false, error -> {
                marking = false;
                marked = error == null;
                failed = error;
                for (int left = held.size(); left > 0; left--) {
                    held.remove().run();
                }
            });
        }
    }

    /** One after the other, then durable. */
    private void mark(int index, boolean after, Completion whenDone) {
        if (index == marks.size()) {
            if (after) {
                whenDone.complete(null);
            } else {
                flush(0, whenDone);
            }
            return;
        }
        Mark mark = marks.get(index);
        IoBuffer bytes = after ? mark.after() : mark.during();
        mark.file().write(mark.offset(), bytes, 0, bytes.capacity(), 0, error -> {
            if (error == null) {
                mark(index + 1, after, whenDone);
            } else {
                whenDone.complete(error);
            }
        });
    }

    private void flush(int index, Completion whenDone) {
        if (index == marks.size()) {
            whenDone.complete(null);
            return;
        }
        marks.get(index).file().flush(error -> {
            if (error == null) {
                flush(index + 1, whenDone);
            } else {
                whenDone.complete(error);
            }
        });
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        if (marked) {
            next.write(offset, buffer, at, length, flags, completion);
        } else {
            hold(() -> next.write(offset, buffer, at, length, flags, completion), completion);
        }
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        if (marked) {
            next.writeZeroes(offset, length, flags, completion);
        } else {
            hold(() -> next.writeZeroes(offset, length, flags, completion), completion);
        }
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        if (marked) {
            next.discard(offset, length, flags, completion);
        } else {
            hold(() -> next.discard(offset, length, flags, completion), completion);
        }
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return next.locate(offset, length, range);
    }

    @Override
    public void close(Completion completion) {
        if (!marked) {
            next.close(completion);
            return;
        }
        mark(0, true, error -> next.close(closed -> completion.complete(error == null ? closed : error)));
    }
}
