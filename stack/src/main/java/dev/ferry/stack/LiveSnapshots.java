package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.qcow2.Qcow2Device;
import dev.ferry.image.qcow2.SnapshotImage;
import dev.ferry.image.qcow2.SnapshotTables;
import org.jspecify.annotations.Nullable;

/**
 * Internal snapshots of qcow2 disks that are in use, as far as the disks move with them. Snapshots are at rest while a disk is open:
 * nothing here makes or deletes one. Thread: the control plane; calls block.
 */
public final class LiveSnapshots {
    private LiveSnapshots() {}

    /**
     * What a move takes along.
     *
     * @param bytes of a file that holds the snapshots, and what the disk has in common with them; only read, on the disk's loop, as long
     *     as the disk is open there; not closed
     * @param keptBytes of them, those that are copied
     */
    public record Taken(BlockDevice bytes, long keptBytes) {}

    /**
     * The snapshots of a disk, as a file to be copied; {@link #share} comes before.
     *
     * @param below what that file is to lie over, by its name beside it; null: nothing
     */
    public static Taken of(DiskSide side, @Nullable DiskSpec below) throws BlockException {
        BlockDevice file = Images.anyBytes(side.loop(), side.file());
        SnapshotImage.Below named = below == null
                ? null
                : new SnapshotImage.Below(
                        String.valueOf(below.path().getFileName()),
                        below.format().qemuText());
        SnapshotImage image = SnapshotImage.of(bytes(side), tables(side), named);
        return new Taken(
                CheckedDevice.of(
                        new PatchedFile(file, image),
                        "snapshots in " + side.spec().shownAs()),
                image.keptBytes());
    }

    private static DeviceBytes bytes(DiskSide side) {
        return new DeviceBytes(
                side.loop().loop(),
                Images.anyBytes(side.loop(), side.file()),
                side.spec().shownAs());
    }

    /**
     * Says that {@link #share} is to come, at little cost: until then nothing counts as shared, and the disk as one that lies over
     * something.
     */
    public static void expect(DiskSide side) throws BlockException {
        Qcow2Device device = device(side);
        SnapshotTables tables = SnapshotTables.unknown(bytes(side));
        OnLoop.run(side.loop().loop(), () -> device.compareWith(tables));
    }

    /**
     * From now on what a disk has in common with its snapshots counts as what it lies over, until {@link #part}. Where it does already
     * nothing changes. No copy of the disk may be under way.
     */
    public static void share(DiskSide side) throws BlockException {
        Qcow2Device device = device(side);
        boolean known = OnLoop.get(side.loop().loop(), () -> {
            SnapshotTables now = device.comparedWith();
            return now != null && now.known();
        });
        if (known) {
            return;
        }
        SnapshotTables tables = SnapshotTables.of(bytes(side));
        OnLoop.run(side.loop().loop(), () -> device.compareWith(tables));
    }

    /**
     * The same of the other side of a disk, which has the same snapshots.
     *
     * @param side the side that shares with its snapshots already
     * @throws BlockException of kind {@link ErrorKind#NOT_FOUND} if the other side has others
     */
    public static void share(DiskSide side, DiskSide other) throws BlockException {
        SnapshotTables tables = tables(side);
        if (!tables.fit(bytes(other))) {
            throw BlockError.of(
                            ErrorKind.NOT_FOUND,
                            other.spec().shownAs(),
                            "open",
                            "its internal snapshots are not those of "
                                    + side.spec().shownAs())
                    .toException();
        }
        Qcow2Device device = device(other);
        OnLoop.run(other.loop().loop(), () -> device.compareWith(tables));
    }

    /** What a disk has is its own again. */
    public static void part(DiskSide side) throws BlockException {
        if (side.format() instanceof Qcow2Device device) {
            OnLoop.run(side.loop().loop(), () -> device.compareWith(null));
        }
    }

    private static SnapshotTables tables(DiskSide side) throws BlockException {
        Qcow2Device device = device(side);
        SnapshotTables[] found = new SnapshotTables[1];
        OnLoop.run(side.loop().loop(), () -> found[0] = device.comparedWith());
        if (found[0] == null) {
            throw new IllegalStateException("a disk that is not compared with its snapshots");
        }
        return found[0];
    }

    private static Qcow2Device device(DiskSide side) throws BlockException {
        if (side.format() instanceof Qcow2Device device) {
            return device;
        }
        throw BlockError.of(ErrorKind.INVALID, side.spec().shownAs(), "open", "it is no qcow2 image")
                .toException();
    }
}
