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
import dev.ferry.block.Geometry;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.NewNames;
import dev.ferry.image.Patches;
import dev.ferry.image.qcow2.Qcow2Names;
import dev.ferry.image.vhd.VhdLink;
import dev.ferry.image.vhdx.VhdxLink;
import dev.ferry.image.vmdk.VmdkNames;

/**
 * The bytes of a file as they would be if it named other files. The file itself is only read. Thread: the loop's, but for {@link
 * #over}.
 */
final class Renamed extends FilterDevice {
    private final Patches patches;
    private final Geometry geometry;

    private Renamed(BlockDevice file, Patches patches) {
        super(file);
        this.patches = patches;
        this.geometry = Geometry.ofBytes(patches.lengthBytes());
    }

    /**
     * The file itself where it names them so already.
     *
     * @param file open on its loop as bytes
     * @param spec as a disk
     */
    static BlockDevice over(DiskSide file, DiskSpec spec, NewNames names) throws BlockException {
        Patches patches = new Patches(
                new DeviceBytes(file.loop().loop(), file.device(), file.spec().shownAs()));
        switch (spec.format()) {
            case RAW -> {}
            case QCOW2 -> Qcow2Names.change(patches, names);
            case VMDK -> VmdkNames.change(patches, names);
            case VHD -> {
                String below = names.below();
                if (below != null) {
                    VhdLink.change(patches, below);
                }
            }
            case VHDX -> {
                String below = names.below();
                if (below != null) {
                    VhdxLink.change(patches, below);
                }
            }
        }
        return patches.none()
                ? file.device()
                : CheckedDevice.of(
                        new Renamed(file.device(), patches), file.spec().shownAs());
    }

    @Override
    public Geometry geometry() {
        return geometry;
    }

    private long thereBytes(long offset, long length) {
        return Math.clamp(next.geometry().sizeBytes() - offset, 0, length);
    }

    @Override
    public void read(long offset, IoBuffer buffer, int at, int length, Completion completion) {
        int there = (int) thereBytes(offset, length);
        buffer.zero(at + there, length - there);
        if (there == 0) {
            patches.put(offset, length, buffer, at);
            completion.complete(null);
            return;
        }
        next.read(offset, buffer, at, there, error -> {
            if (error == null) {
                patches.put(offset, length, buffer, at);
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

    /** What is changed is data, whatever the file has there. */
    @Override
    public void extents(long offset, long length, ExtentSink sink, Completion completion) {
        long end = offset + length;
        long there = thereBytes(offset, length);
        long changed = there == 0 ? end : patches.changedUntil(offset);
        if (changed > offset) {
            sink.extent(offset, Math.min(changed, end) - offset, 0);
            completion.complete(null);
        } else {
            next.extents(offset, patches.nextChange(offset, offset + there) - offset, sink, completion);
        }
    }

    @Override
    public void ownExtents(long offset, long length, ExtentSink sink, Completion completion) {
        extents(offset, length, sink, completion);
    }

    @Override
    public boolean locate(long offset, int length, FileRange range) {
        return thereBytes(offset, length) == length
                && patches.nextChange(offset, offset + length) == offset + length
                && next.locate(offset, length, range);
    }
}
