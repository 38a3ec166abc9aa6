package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.filter.Aligner;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.RawImage;
import dev.ferry.image.qcow2.CheckReport;
import dev.ferry.image.qcow2.Qcow2Checker;
import dev.ferry.image.qcow2.Qcow2Creator;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.qcow2.Qcow2Device;
import dev.ferry.image.qcow2.Qcow2Image;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Settings;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.DeltaChain;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhd.VhdKind;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vhdx.VhdxKind;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.WritableVmdk;
import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/**
 * Formats on files: what is put on top of a file to make it a disk, how a new one is made, what one is. The format is
 * always said by whoever asks; nothing here guesses it from the content.
 *
 * <p>A backing file is opened where it lies beside its overlay, in the same directory or one below, and its format is the one that the overlay
 * says; anything else is refused. The parent of a VMDK, VHD or VHDX delta is a file in the same directory, of the same format.
 * Thread: the control plane; calls block.
 */
public final class Images {
    static final int CHAIN_MAX = 32;

    /** Where compressed clusters are unpacked. */
    static final Executor WORKERS = Executors.newVirtualThreadPerTaskExecutor();

    private Images() {}

    // ---- as disks

    /** Opens a file as a disk that takes any offset and length, on its loop, for a tool; whoever asked closes it. */
    public static BlockDevice open(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return DiskSide.open(loop, spec, opener).device();
    }

    /** Opens one of the internal snapshots of a qcow2 image, by its name or id, in the same way. */
    public static BlockDevice openSnapshot(DiskLoop loop, DiskSpec spec, FileOpener opener, String snapshot)
            throws BlockException {
        return DiskSide.openSnapshot(loop, spec, opener, snapshot).device();
    }

    static BlockDevice snapshotOn(DiskLoop loop, DiskSpec spec, BlockDevice file, FileOpener opener, String snapshot)
            throws BlockException {
        BlockDevice any = anyBytes(loop, file);
        Qcow2Image image = Qcow2Image.openSnapshot(new DeviceBytes(loop.loop(), any, spec.shownAs()), snapshot);
        return device(loop, spec, file, any, any, image, backing(loop, spec, image, opener, 1));
    }

    /** Puts a format on a file that is open. Closing what this gives closes the file; if it fails the file stays open. */
    static BlockDevice on(DiskLoop loop, DiskSpec spec, BlockDevice file, FileOpener opener) throws BlockException {
        return on(loop, spec, file, opener, 1);
    }

    private static BlockDevice on(DiskLoop loop, DiskSpec spec, BlockDevice file, FileOpener opener, int depth)
            throws BlockException {
        return switch (spec.format()) {
            case RAW -> new RawImage(file, spec.provisioning());
            case QCOW2 -> qcow2(loop, spec, file, opener, name -> DataFiles.beside(spec, name), depth);
            case VMDK -> {
                Neighbours neighbours = neighbours(loop, spec, opener);
                yield spec.readOnly()
                        ? VmdkImage.open(bytes(loop, spec, file), loop.loop(), WORKERS, neighbours)
                        : provisioned(
                                spec,
                                WritableVmdk.open(
                                        bytes(loop, spec, file),
                                        loop.loop(),
                                        WORKERS,
                                        neighbours,
                                        NewImages.number(loop, spec)));
            }
            case VHD -> {
                OpenFile first = bytes(loop, spec, file);
                yield spec.readOnly()
                        ? chain(loop, spec, first, opener, VhdImage::open)
                        : provisioned(
                                spec,
                                DeltaChain.open(
                                        first,
                                        loop.loop(),
                                        neighbours(loop, spec, opener),
                                        VhdImage::open,
                                        (image, below) -> image.writable(loop.loop(), first.device(), below)));
            }
            case VHDX -> {
                OpenFile first = bytes(loop, spec, file);
                if (spec.readOnly()) {
                    yield chain(loop, spec, first, opener, VhdxImage::open);
                }
                VhdxImage.replay(first.bytes());
                UUID fresh = NewImages.identity(loop, spec);
                yield provisioned(
                        spec,
                        DeltaChain.open(
                                first,
                                loop.loop(),
                                neighbours(loop, spec, opener),
                                VhdxImage::open,
                                (image, below) ->
                                        image.writable(loop.loop(), first.bytes(), first.device(), fresh, below)));
            }
        };
    }

    /** Room that a disk has is kept, where it is to be kept. */
    private static BlockDevice provisioned(DiskSpec spec, BlockDevice device) {
        return spec.provisioning() == Provisioning.THIN
                ? device
                : new RawImage(CheckedDevice.of(device, spec.shownAs()), spec.provisioning());
    }

    static BlockDevice qcow2(DiskLoop loop, DiskSpec spec, BlockDevice file, FileOpener opener, Place place, int depth)
            throws BlockException {
        int blockBytes = file.geometry().blockSizeBytes();
        BlockDevice any = anyBytes(loop, file);
        FileBytes bytes = new DeviceBytes(loop.loop(), any, spec.shownAs());
        Qcow2Image image = spec.readOnly() ? Qcow2Image.openReadOnly(bytes) : Qcow2Image.openForWriting(bytes);
        if (blockBytes > image.grainBytes()) {
            // Two clusters, or parts of them, in one block would undo each other's changes.
            throw BlockError.of(
                            ErrorKind.UNSUPPORTED,
                            spec.shownAs(),
                            "open",
                            (image.grainBytes() < image.clusterBytes() ? "its subclusters of " : "its clusters of ")
                                    + image.grainBytes() + " bytes are smaller than the blocks of "
                                    + blockBytes + " that O_DIRECT needs here; open it through the page cache")
                    .toException();
        }
        BlockDevice store = DataFiles.of(loop, spec, any, image, place, opener);
        try {
            return device(loop, spec, file, any, store, image, backing(loop, spec, image, opener, depth));
        } catch (BlockException | RuntimeException failed) {
            if (store != any) {
                OnLoop.await(loop.loop(), store::close);
            }
            throw failed;
        }
    }

    private static BlockDevice device(
            DiskLoop loop,
            DiskSpec spec,
            BlockDevice file,
            BlockDevice any,
            BlockDevice store,
            Qcow2Image image,
            @Nullable BlockDevice backing)
            throws BlockException {
        Qcow2Settings settings = new Qcow2Settings(
                loop.tableBytes(),
                spec.provisioning() != Provisioning.THIN,
                file.geometry().blockSizeBytes());
        return OnLoop.get(
                loop.loop(),
                () -> new Qcow2Device(loop.loop(), any, store, image, backing, loop.buffers(), WORKERS, settings));
    }

    /** An overlay that falls through to a device which is open already, whatever the file says of its backing file. */
    static BlockDevice overlay(DiskLoop loop, DiskSpec spec, BlockDevice file, BlockDevice below, FileOpener opener)
            throws BlockException {
        BlockDevice any = anyBytes(loop, file);
        DeviceBytes bytes = new DeviceBytes(loop.loop(), any, spec.shownAs());
        Qcow2Image image = spec.readOnly() ? Qcow2Image.openReadOnly(bytes) : Qcow2Image.openForWriting(bytes);
        Qcow2Settings settings =
                new Qcow2Settings(loop.tableBytes(), false, file.geometry().blockSizeBytes());
        BlockDevice store = DataFiles.of(loop, spec, any, image, name -> DataFiles.beside(spec, name), opener);
        try {
            return OnLoop.get(
                    loop.loop(),
                    () -> new Qcow2Device(loop.loop(), any, store, image, below, loop.buffers(), WORKERS, settings));
        } catch (BlockException | RuntimeException failed) {
            if (store != any) {
                OnLoop.await(loop.loop(), store::close);
            }
            throw failed;
        }
    }

    static OpenFile bytes(DiskLoop loop, DiskSpec spec, BlockDevice file) {
        BlockDevice any = anyBytes(loop, file);
        return new OpenFile(new DeviceBytes(loop.loop(), any, spec.shownAs()), any);
    }

    private static <F extends DeltaFile> BlockDevice chain(
            DiskLoop loop, DiskSpec spec, OpenFile file, FileOpener opener, DeltaChain.Format<F> format)
            throws BlockException {
        return DeltaChain.open(file, loop.loop(), neighbours(loop, spec, opener), format);
    }

    private static Neighbours neighbours(DiskLoop loop, DiskSpec spec, FileOpener opener) {
        return neighbours(loop, spec, opener, name -> beside(spec, name));
    }

    /** Where a file lies that another one names, if it may be opened. */
    @FunctionalInterface
    interface Place {
        Path of(String name) throws BlockException;
    }

    static Neighbours neighbours(DiskLoop loop, DiskSpec spec, FileOpener opener, Place place) {
        return new Neighbours() {
            @Override
            public OpenFile open(String name) throws BlockException {
                return open(name, ImageFormat.RAW, true);
            }

            @Override
            public OpenFile openForWriting(String name, boolean grows) throws BlockException {
                return open(name, grows ? spec.format() : ImageFormat.RAW, false);
            }

            @Override
            public OpenFile openDevice(String mapName, boolean readOnly) throws BlockException {
                Path device = opener.deviceOf(mapName);
                return device == null
                        ? Neighbours.super.openDevice(mapName, readOnly)
                        : open(mapName, device, ImageFormat.RAW, readOnly);
            }

            private OpenFile open(String name, ImageFormat format, boolean readOnly) throws BlockException {
                return open(name, place.of(name), format, readOnly);
            }

            private OpenFile open(String name, Path path, ImageFormat format, boolean readOnly) throws BlockException {
                DiskSpec part = new DiskSpec(name, path, Provisioning.THIN, readOnly, spec.direct(), format);
                return bytes(loop, part, CheckedDevice.of(opener.open(loop, part), part.shownAs()));
            }
        };
    }

    static BlockDevice anyBytes(DiskLoop loop, BlockDevice file) {
        return file.geometry().blockSizeBytes() == 1
                ? file
                : CheckedDevice.of(new Aligner(file, loop.buffers()), "aligner");
    }

    static @Nullable BlockDevice backing(DiskLoop loop, DiskSpec spec, Qcow2Image image, FileOpener opener, int depth)
            throws BlockException {
        return backing(loop, spec, image.backingName(), image.backingFormat(), opener, depth);
    }

    private static @Nullable BlockDevice backing(
            DiskLoop loop,
            DiskSpec spec,
            @Nullable String named,
            @Nullable String itsFormat,
            FileOpener opener,
            int depth)
            throws BlockException {
        if (named == null) {
            return null;
        }
        if (depth == CHAIN_MAX) {
            throw refused(spec, "its chain of backing files is longer than " + CHAIN_MAX + ", or a circle");
        }
        DiskSpec below = below(spec, named, itsFormat);
        BlockDevice file = CheckedDevice.of(opener.open(loop, below), below.shownAs());
        try {
            return CheckedDevice.of(on(loop, below, file, opener, depth + 1), below.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }

    /** The backing file that an image names, as it may be opened. */
    static DiskSpec below(DiskSpec spec, String named, @Nullable String itsFormat) throws BlockException {
        String format = String.valueOf(itsFormat);
        ImageFormat known = ImageFormat.of(format)
                .orElseThrow(() -> refused(
                        spec,
                        itsFormat == null
                                ? "it does not say the format of its backing file, and Ferry does not guess"
                                : "its backing file has a format that is not known: " + printable(format)));
        return new DiskSpec(named, beside(spec, named), Provisioning.THIN, true, false, known);
    }

    /** Where a backing file is, if it is where it may be. */
    static Path beside(DiskSpec spec, String named) throws BlockException {
        Path directory;
        Path path;
        try {
            directory = Objects.requireNonNull(spec.path().toRealPath().getParent());
            path = directory.resolve(named).toRealPath();
        } catch (IOException | InvalidPathException gone) {
            throw refused(spec, "the file " + printable(named) + " that it names is not there");
        }
        if (!path.startsWith(directory)) {
            throw refused(spec, "the file " + printable(named) + " that it names is not in its directory");
        }
        return path;
    }

    static String printable(String text) {
        return "'" + text.replaceAll("[^ -~]", "?") + "'";
    }

    static BlockException refused(DiskSpec spec, String why) {
        return BlockError.of(ErrorKind.INVALID, spec.shownAs(), "open", why).toException();
    }

    // ---- as files

    interface Work<T> {
        T on(FileBytes bytes) throws BlockException;
    }

    static <T> T with(DiskLoop loop, DiskSpec spec, FileOpener opener, Work<T> work) throws BlockException {
        BlockDevice file = CheckedDevice.of(opener.open(loop, spec), spec.shownAs());
        try {
            return work.on(new DeviceBytes(loop.loop(), anyBytes(loop, file), spec.shownAs()));
        } finally {
            OnLoop.await(loop.loop(), file::close);
        }
    }

    /** Makes an image in a file that is there and holds nothing of worth. A raw one is made by its length alone. */
    public static void format(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes, Qcow2Options options)
            throws BlockException {
        switch (spec.format()) {
            case RAW -> {}
            case QCOW2 ->
                ImageChanges.change(loop, spec, opener, bytes -> Qcow2Creator.create(bytes, sizeBytes, options));
            case VMDK -> NewImages.vmdk(loop, spec, opener, sizeBytes);
            case VHD -> NewImages.vhd(loop, spec, opener, sizeBytes, VhdKind.DYNAMIC);
            case VHDX -> NewImages.vhdx(loop, spec, opener, sizeBytes, VhdxKind.DYNAMIC);
        }
    }

    /** The same, laid out as suits how the disk is provisioned, and of a shape that qcow2 images can have, if it is to be one. */
    public static void format(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes, Qcow2Shape shape)
            throws BlockException {
        Qcow2Options shaped = shape.options();
        Qcow2Options options = spec.provisioning() == Provisioning.THIN ? shaped : shaped.withMapped();
        format(loop, spec, opener, spec.format().paddedBytes(sizeBytes), options);
    }

    /** The size of the disk that a file holds; opens nothing but that file. */
    public static long sizeBytes(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return with(loop, spec.cached().asReadOnly(), opener, bytes -> switch (spec.format()) {
            case RAW -> bytes.lengthBytes();
            case QCOW2 -> Qcow2Description.of(bytes).sizeBytes();
            case VMDK -> VmdkImage.sizeBytes(bytes);
            case VHD -> VhdImage.open(bytes).sizeBytes();
            case VHDX -> VhdxImage.open(bytes).sizeBytes();
        });
    }

    /** The format that a file's content looks like: only for a file whose content no guest has written. */
    public static ImageFormat probe(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return with(loop, spec.cached().asReadOnly(), opener, bytes -> {
            if (Qcow2Image.looksLikeOne(bytes)) {
                return ImageFormat.QCOW2;
            }
            if (VmdkImage.looksLikeOne(bytes)) {
                return ImageFormat.VMDK;
            }
            if (VhdxImage.looksLikeOne(bytes)) {
                return ImageFormat.VHDX;
            }
            return VhdImage.looksLikeOne(bytes) ? ImageFormat.VHD : ImageFormat.RAW;
        });
    }

    /** What a qcow2 file says of itself; opens nothing but that file. */
    public static Qcow2Description describe(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        return with(loop, spec.cached().asReadOnly(), opener, Qcow2Description::of);
    }

    /** Checks a file that is not in use; one that is not qcow2 cannot be repaired. */
    public static CheckReport check(DiskLoop loop, DiskSpec spec, FileOpener opener, Qcow2Checker.Repair repair)
            throws BlockException {
        DiskSpec how = repair == Qcow2Checker.Repair.NONE ? spec.cached().asReadOnly() : spec.cached();
        return with(
                loop,
                how,
                opener,
                bytes -> spec.format() == ImageFormat.QCOW2
                        ? Qcow2Checker.check(bytes, repair)
                        : report(grains(loop, spec, opener, bytes)));
    }

    private static Census grains(DiskLoop loop, DiskSpec spec, FileOpener opener, FileBytes bytes)
            throws BlockException {
        return switch (spec.format()) {
            case RAW, QCOW2 -> Census.NOTHING;
            case VMDK ->
                VmdkImage.check(
                        bytes,
                        neighbours(loop, spec, opener),
                        file -> loop.loop().execute(() -> file.device().close(closed -> {})));
            case VHD -> VhdImage.open(bytes).check();
            case VHDX -> VhdxImage.open(bytes).check(bytes);
        };
    }

    private static CheckReport report(Census found) {
        return new CheckReport(
                found.corruptions(),
                found.stale(),
                0,
                0,
                found.grains(),
                found.there(),
                found.packed(),
                found.fragmented(),
                found.endOffset(),
                found.findings());
    }
}
