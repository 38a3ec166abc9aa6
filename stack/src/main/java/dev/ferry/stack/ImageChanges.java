package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Image;
import dev.ferry.image.qcow2.Qcow2Resizer;
import dev.ferry.image.vhd.VhdResizer;
import dev.ferry.image.vhdx.VhdxResizer;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/** What is done to images that nobody uses. The file is locked meanwhile. Thread: the control plane; calls block. */
public final class ImageChanges {
    private ImageChanges() {}

    /** A change to a file. */
    @FunctionalInterface
    public interface Change {
        void to(FileBytes file) throws BlockException;
    }

    /** Does something to the bytes of a file, which may grow and shrink. */
    public static void change(DiskLoop loop, DiskSpec spec, FileOpener opener, Change change) throws BlockException {
        // Of a disk in format raw the file keeps its length while it is in use; here it is a file and no disk.
        boolean _ = Images.with(loop, spec.cached().in(ImageFormat.QCOW2), opener, bytes -> {
            change.to(bytes);
            return true;
        });
    }

    /** Makes a disk longer, by zeroes, or shorter. A crash leaves one size or the other. */
    public static void resize(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes) throws BlockException {
        switch (spec.format()) {
            case RAW ->
                change(loop, spec, opener, bytes -> {
                    bytes.resize(sizeBytes);
                    bytes.flush();
                });
            case QCOW2 -> change(loop, spec, opener, bytes -> qcow2(loop, spec, opener, bytes, sizeBytes));
            case VMDK -> ResizedVmdk.resize(loop, spec, opener, sizeBytes);
            case VHD -> change(loop, spec, opener, bytes -> VhdResizer.resize(bytes, sizeBytes));
            case VHDX -> {
                UUID fresh = NewImages.identity(loop, spec);
                change(loop, spec, opener, bytes -> VhdxResizer.resize(bytes, sizeBytes, fresh));
            }
        }
    }

    private static void qcow2(DiskLoop loop, DiskSpec spec, FileOpener opener, FileBytes bytes, long sizeBytes)
            throws BlockException {
        Qcow2Image image = Qcow2Image.openReadOnly(bytes);
        @Nullable BlockDevice backing = Images.backing(loop, spec, image, opener, 1);
        FileBytes below = backing == null ? null : new DeviceBytes(loop.loop(), backing, "backing file");
        try {
            DataFiles.with(loop, spec, opener, image, data -> Qcow2Resizer.resize(bytes, data, below, sizeBytes));
        } finally {
            if (backing != null) {
                OnLoop.await(loop.loop(), backing::close);
            }
        }
    }
}
