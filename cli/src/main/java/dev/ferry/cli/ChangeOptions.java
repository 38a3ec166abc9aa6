package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import dev.ferry.image.ImageFormat;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DirtyBitmapContext;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.ImageBitmaps;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Option;

/** What becomes of the changes that clients of an NBD server make: whether they are kept, and who is told of them. */
final class ChangeOptions {
    /** Every export has two contexts of its own. */
    private static final int BITMAPS_MAX = Nbd.CONTEXTS_MAX - 2;

    /** What QEMU takes. */
    private static final int NAME_BYTES_MAX = 1023;

    @Option(
            names = "--snapshot",
            description = {
                "Leave FILE as it is: changes go to a temporary file (in TMPDIR, or /var/tmp), and are thrown away at the",
                "end."
            })
    private boolean snapshot;

    @Option(
            names = "--bitmap",
            paramLabel = "NAME",
            description = {
                "Mark what is changed from now on in a bitmap, which clients see as qemu:dirty-bitmap:NAME; may be",
                "repeated. One that a qcow2 image stores is gone on with, and put back when the server ends; any other is",
                "gone then."
            })
    private List<String> bitmaps = List.of();

    private final List<MetadataContext> contexts = new ArrayList<>();

    /** Those that the image has. */
    private final List<ImageBitmaps.Stored> stored = new ArrayList<>();

    void check() throws ProblemException {
        if (bitmaps.size() > BITMAPS_MAX) {
            throw Problems.wrongUsage("there are at most " + BITMAPS_MAX + " bitmaps of an export");
        }
        for (String name : bitmaps) {
            int bytes = name.getBytes(StandardCharsets.UTF_8).length;
            if (bytes == 0 || bytes > NAME_BYTES_MAX) {
                throw Problems.wrongUsage("--bitmap takes a name of 1 to " + NAME_BYTES_MAX + " bytes");
            }
        }
        if (new HashSet<>(bitmaps).size() < bitmaps.size()) {
            throw Problems.wrongUsage("each --bitmap has a name of its own");
        }
    }

    /** True if changes are marked. */
    boolean marks() {
        return !bitmaps.isEmpty();
    }

    /** True if the file is not to be changed. */
    boolean snapshot() {
        return snapshot;
    }

    /**
     * Takes bitmaps out of the image that is about to be served.
     *
     * @return true if there were any
     */
    boolean load(DiskLoop loop, DiskSpec spec, FileOpener opener) throws ProblemException, BlockException {
        for (String name : spec.format() == ImageFormat.QCOW2 ? bitmaps : List.<String>of()) {
            Optional<ImageBitmaps.Stored> found = ImageBitmaps.read(loop, spec, opener, name);
            if (found.isPresent() && found.get().inUse()) {
                throw Problems.conflict("the bitmap '" + ImageCommands.printable(name) + "' in " + spec.path()
                        + " is inconsistent, since whoever used it last did not end as planned; remove it (qemu-img bitmap"
                        + " --remove), and make a full backup");
            }
            found.ifPresent(stored::add);
        }
        return !stored.isEmpty();
    }

    /** Puts them back; the image is closed, and was open to be changed. */
    void keep(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        List<ImageBitmaps.Stored> followed =
                stored.stream().filter(ImageBitmaps.Stored::follows).toList();
        if (!followed.isEmpty() && !spec.readOnly()) {
            ImageBitmaps.write(loop, spec, opener, followed);
        }
    }

    /** The device behind what marks its changes; before it is used. */
    BlockDevice marked(BlockDevice device, String name) throws ProblemException {
        if (bitmaps.isEmpty()) {
            return device;
        }
        long sizeBytes = device.geometry().sizeBytes();
        if (sizeBytes == 0) {
            throw Problems.wrongUsage("a disk of no bytes has no bitmaps");
        }
        Tracker tracker = new Tracker(device);
        // Nothing passes through this one: what an image has that does not follow changes stays as it is.
        Tracker still = new Tracker(device);
        for (String bitmapName : bitmaps) {
            Optional<ImageBitmaps.Stored> kept =
                    stored.stream().filter(one -> one.name().equals(bitmapName)).findFirst();
            DirtyBitmap bitmap = kept.map(ImageBitmaps.Stored::bits)
                    .orElseGet(() -> new DirtyBitmap(sizeBytes, DirtyBitmap.GRANULARITY_BYTES));
            Tracker marking = kept.map(ImageBitmaps.Stored::follows).orElse(true) ? tracker : still;
            marking.add(bitmapName, bitmap);
            contexts.add(new DirtyBitmapContext(bitmapName, bitmap, marking));
        }
        return CheckedDevice.of(tracker, name);
    }

    /** What clients can ask of the bitmaps. */
    List<MetadataContext> contexts() {
        return List.copyOf(contexts);
    }
}
