package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.image.FileBytes;
import dev.ferry.image.qcow2.Qcow2Image;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The files that the data of qcow2 images is in, where that is not the image. One is opened where it lies in the image's
 * directory or one below, as a backing file is, and is never the image itself. Thread: the control plane; calls block.
 */
public final class DataFiles {
    private DataFiles() {}

    /** Where a data file lies, if it is where it may be. */
    static Path beside(DiskSpec spec, String named) throws BlockException {
        if (named.isEmpty()) {
            throw Images.refused(spec, "its data is in another file, and it does not say in which");
        }
        Path path = Images.beside(spec, named);
        boolean itself;
        try {
            itself = Files.isDirectory(path) || Files.isSameFile(path, spec.path());
        } catch (IOException gone) {
            throw Images.refused(spec, "the file " + Images.printable(named) + " that it names is not there");
        }
        if (itself) {
            throw Images.refused(spec, "the file " + Images.printable(named) + " that it names cannot hold its data");
        }
        return path;
    }

    /**
     * What the data of an image is in: the image's own file, or one that is opened, and made as long as the disk if it is to be
     * written.
     */
    static BlockDevice of(
            DiskLoop loop, DiskSpec spec, BlockDevice file, Qcow2Image image, Images.Place place, FileOpener opener)
            throws BlockException {
        String named = image.dataFileName();
        return named == null
                ? file
                : open(loop, spec, named, image.sizeBytes(), place, opener).device();
    }

    private static OpenFile open(
            DiskLoop loop, DiskSpec spec, String named, long sizeBytes, Images.Place place, FileOpener opener)
            throws BlockException {
        Neighbours neighbours = Images.neighbours(loop, spec, opener, place);
        OpenFile data = spec.readOnly() ? neighbours.open(named) : neighbours.openForWriting(named, true);
        try {
            if (!spec.readOnly() && data.bytes().lengthBytes() < sizeBytes) {
                data.bytes().resize(sizeBytes);
                data.bytes().flush();
            }
            return data;
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), data.device()::close);
            throw failed;
        }
    }

    /** What is done with the bytes of a data file. */
    @FunctionalInterface
    interface Work {
        void on(@Nullable FileBytes data) throws BlockException;
    }

    /** Opens the data file of an image that is to be changed as a whole, if it has one. */
    static void with(DiskLoop loop, DiskSpec spec, FileOpener opener, Qcow2Image image, Work work)
            throws BlockException {
        String named = image.dataFileName();
        if (named == null) {
            work.on(null);
            return;
        }
        OpenFile data = open(loop, spec, named, 0, name -> beside(spec, name), opener);
        try {
            work.on(data.bytes());
        } finally {
            OnLoop.await(loop.loop(), data.device()::close);
        }
    }

    /**
     * Makes an image whose data is in another file, which is there already and holds nothing of worth.
     *
     * @param data that file, under the name that it has so far
     */
    public static void format(
            DiskLoop loop, DiskSpec spec, FileOpener opener, Path data, long sizeBytes, Qcow2Options options)
            throws BlockException {
        ImageChanges.change(loop, spec.at(data, spec.provisioning()), opener, bytes -> {
            bytes.resize(0);
            bytes.resize(sizeBytes);
            bytes.flush();
        });
        Images.format(loop, spec, opener, sizeBytes, options);
    }

    /** Opens one that was just made, to be filled, while its files have not their names yet. */
    public static BlockDevice openNew(DiskLoop loop, DiskSpec spec, FileOpener opener, Path data)
            throws BlockException {
        BlockDevice file = CheckedDevice.of(opener.open(loop, spec), spec.shownAs());
        try {
            return CheckedDevice.of(Images.qcow2(loop, spec, file, opener, name -> data, 1), spec.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }
}
