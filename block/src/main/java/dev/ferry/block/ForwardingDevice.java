package dev.ferry.block;

/**
 * A filter that passes every request on untouched: it is about something else, such as which device comes next, or who
 * closes it. What has to see changes is a {@link FilterDevice} and no more than that. Thread: the loop's.
 */
public abstract class ForwardingDevice extends FilterDevice {
    protected ForwardingDevice(BlockDevice next) {
        super(next);
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        next.read(offset, buffer, at, length, completion);
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        next.write(offset, buffer, at, length, flags, completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        next.writeZeroes(offset, length, flags, completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        next.discard(offset, length, flags, completion);
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return next.locate(offset, length, range);
    }
}
