package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.FileRange;
import dev.ferry.block.FilterDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.qcow2.Qcow2Link;

/**
 * The bytes of a qcow2 file as they would be if its header named another backing file. The file itself is only read. Thread: the
 * loop's, but for {@link #over}.
 */
final class RenamedBacking extends FilterDevice {
    private final byte[] head;

    private RenamedBacking(BlockDevice file, byte[] head) {
        super(file);
        this.head = head;
    }

    static BlockDevice over(DiskSide file, String name, ImageFormat format) throws BlockException {
        FileBytes bytes =
                new DeviceBytes(file.loop().loop(), file.device(), file.spec().shownAs());
        Head head = new Head(bytes, Math.toIntExact(Qcow2Description.of(bytes).clusterBytes()));
        Qcow2Link.to(head, name, format.text());
        return CheckedDevice.of(
                new RenamedBacking(file.device(), head.cluster), file.spec().shownAs());
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        if (offset >= head.length) {
            next.read(offset, buffer, at, length, completion);
            return;
        }
        int headed = (int) Math.min(length, head.length - offset);
        next.read(offset, buffer, at, length, error -> {
            if (error == null) {
                buffer.copyFrom(head, (int) offset, at, headed);
            }
            completion.complete(error);
        });
    }

    @Override
    public void write(long offset, IoBuffer buffer, int at, int length, int flags, Completion completion) {
        refuse("write", completion);
    }

    @Override
    public void writeZeroes(long offset, long length, int flags, Completion completion) {
        refuse("zero", completion);
    }

    @Override
    public void discard(long offset, long length, int flags, Completion completion) {
        refuse("discard", completion);
    }

    private static void refuse(String operation, Completion completion) {
        completion.complete(BlockError.of(ErrorKind.READ_ONLY, "overlay", operation, "its file is only read"));
    }

    @Override
    public void flush(Completion completion) {
        next.flush(completion);
    }

    /** The header is data, whatever the file has there. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        if (offset < head.length) {
            sink.extent(offset, Math.min(length, head.length - offset), 0);
            completion.complete(null);
        } else {
            next.extents(offset, length, sink, completion);
        }
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        extents(offset, length, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return offset >= head.length && next.locate(offset, length, range);
    }

    /** The first cluster in memory, where it may be written. */
    private static final class Head implements FileBytes {
        private final FileBytes file;
        private final byte[] cluster;

        Head(FileBytes file, int clusterBytes) throws BlockException {
            this.file = file;
            this.cluster = file.read(0, clusterBytes);
        }

        @Override
        public String name() {
            return file.name();
        }

        @Override
        public long lengthBytes() {
            return file.lengthBytes();
        }

        @Override
        public void read(long offset, byte[] into, int at, int length) throws BlockException {
            file.read(offset, into, at, length);
            int headed = (int) Math.min(length, cluster.length - offset);
            if (headed > 0) {
                System.arraycopy(cluster, (int) offset, into, at, headed);
            }
        }

        @Override
        public void write(long offset, byte[] from, int at, int length) {
            System.arraycopy(from, at, cluster, (int) offset, length);
        }

        @Override
        public void resize(long lengthBytes) throws BlockException {
            throw BlockError.of(ErrorKind.UNSUPPORTED, name(), "resize", "it is only read")
                    .toException();
        }

        @Override
        public void flush() {}
    }
}
