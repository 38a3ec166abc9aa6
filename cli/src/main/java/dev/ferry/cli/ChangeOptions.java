package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.filter.tracking.Tracker;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DirtyBitmapContext;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
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
                "repeated. It is gone when the server ends."
            })
    private List<String> bitmaps = List.of();

    private final List<MetadataContext> contexts = new ArrayList<>();

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

    /** True if the file is not to be changed. */
    boolean snapshot() {
        return snapshot;
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
        for (String bitmapName : bitmaps) {
            DirtyBitmap bitmap = new DirtyBitmap(sizeBytes, DirtyBitmap.GRANULARITY_BYTES);
            tracker.add(bitmapName, bitmap);
            contexts.add(new DirtyBitmapContext(bitmapName, bitmap, tracker));
        }
        return CheckedDevice.of(tracker, name);
    }

    /** What clients can ask of the bitmaps. */
    List<MetadataContext> contexts() {
        return List.copyOf(contexts);
    }
}
