package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Image;
import dev.ferry.image.qcow2.Qcow2Resizer;
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

    /** Makes a disk longer, by zeroes, or shorter; raw or qcow2. */
    public static void resize(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes) throws BlockException {
        change(loop, spec, opener, bytes -> {
            if (spec.format() == ImageFormat.RAW) {
                bytes.resize(sizeBytes);
                bytes.flush();
                return;
            }
            @Nullable BlockDevice backing = Images.backing(loop, spec, Qcow2Image.openReadOnly(bytes), opener, 1);
            try {
                Qcow2Resizer.resize(
                        bytes,
                        backing == null ? null : new DeviceBytes(loop.loop(), backing, "backing file"),
                        sizeBytes);
            } finally {
                if (backing != null) {
                    OnLoop.await(loop.loop(), backing::close);
                }
            }
        });
    }
}
