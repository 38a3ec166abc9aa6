package dev.ferry.block;

/**
 * A layer over one other device. What is asked about the disk it passes on to the next: its shape, what it can do, what is
 * allocated; and so it does with {@link #close}.
 *
 * <p>Requests that read, change or flush are left to the filter, each, by design, and so is {@link #locate}. A filter that
 * records changes, counts them or keeps them apart must see every one: it does not compile before it says what it does with
 * each, and a new request of {@link BlockDevice} goes past none of them. And a request that is passed on is passed on from
 * the filter's own code: the compiler sees there the one device that follows, and inlines it, where code shared by all
 * filters would meet all devices. A filter that has nothing to do with requests is a {@link ForwardingDevice}.
 *
 * <p>A file that grows is not passed on either, nor what a store copies by itself: {@link #lengthBytes} and {@link #resize}
 * are those of a disk that keeps its length, and {@link #store} and {@link #copyFrom} those of one that others read and
 * write, unless a filter says otherwise. Thread: the loop's.
 */
public abstract class FilterDevice implements BlockDevice {
    /** The device below; another one from some instant on only if the filter says so, while nothing is in flight. */
    protected BlockDevice next;

    protected FilterDevice(BlockDevice next) {
        this.next = next;
    }

    @Override
    public Geometry geometry() {
        return next.geometry();
    }

    @Override
    public Capabilities capabilities() {
        return next.capabilities();
    }

    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        next.extents(offset, length, sink, completion);
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        next.ownExtents(offset, length, sink, completion);
    }

    /** A read that then goes past this filter: each says whether it may. */
    @Override
    public abstract boolean locate(long offset, int length, FileRange range);

    @Override
    public void located(long offset, int length, long nanos) {
        next.located(offset, length, nanos);
    }

    @Override
    public void close(Completion completion) {
        next.close(completion);
    }
}
