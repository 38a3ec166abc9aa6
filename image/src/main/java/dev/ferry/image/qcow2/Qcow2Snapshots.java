package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Internal snapshots of an image that nobody uses: made, gone back to, deleted. A crash leaves the image as it was or as it
 * is to be (see {@link Changeover}). Blocking code of the control plane.
 */
public final class Qcow2Snapshots {
    private static final int NAME_BYTES_MAX = 255;

    private Qcow2Snapshots() {}

    /**
     * Keeps what the disk holds now under a name.
     *
     * @param seconds now, since the epoch
     * @param nanos and the fraction
     */
    public static void create(FileBytes file, String name, long seconds, int nanos) throws BlockException {
        int length = name.getBytes(StandardCharsets.UTF_8).length;
        if (length == 0 || length > NAME_BYTES_MAX || name.chars().anyMatch(c -> c < ' ')) {
            throw refused(file, "a snapshot's name has 1 to 255 bytes, and no control characters");
        }
        Changeover change = Changeover.of(file);
        if (change.header.external()) {
            throw refused(file, "a disk with a data file has no internal snapshots: what is written lies where it lay");
        }
        List<Snapshot> list = new ArrayList<>(change.image.snapshots);
        long lastId = 0;
        for (Snapshot one : list) {
            if (one.name().equals(name) || one.id().equals(name)) {
                throw refused(file, "there is a snapshot '" + name + "' already");
            }
            lastId = Math.max(lastId, one.number());
        }
        if (list.size() == SNAPSHOTS_MAX) {
            throw refused(file, "it has " + SNAPSHOTS_MAX + " snapshots, and can have no more");
        }
        Qcow2Header header = change.header;
        // The table that has been the disk's becomes the snapshot's, and the disk gets a new one.
        list.add(Snapshot.of(
                String.valueOf(lastId + 1),
                name,
                header.l1Offset(),
                header.l1Entries(),
                header.sizeBytes(),
                seconds,
                nanos));
        change.snapshots(list);
        change.run();
    }

    /** Makes the disk what it was when a snapshot was made, its size too; what it holds now is lost, the snapshot stays. */
    public static void apply(FileBytes file, String idOrName) throws BlockException {
        Changeover change = Changeover.of(file);
        if (change.header.external()) {
            throw refused(file, "a disk with a data file has no internal snapshots: what is written lies where it lay");
        }
        Snapshot snapshot = find(change, idOrName);
        if (!change.image.bitmaps.bitmaps().isEmpty()) {
            throw BlockError.of(
                            ErrorKind.UNSUPPORTED,
                            file.name(),
                            "apply a snapshot",
                            "it has dirty bitmaps, which would be wrong after that; remove them first")
                    .toException();
        }
        Qcow2Header.sound(
                file,
                snapshot.sizeBytes() >= 0 && change.header.l1EntriesFor(snapshot.sizeBytes()) <= snapshot.l1Entries(),
                "the snapshot's L1 table is too small for its disk");
        change.content(Qcow2Image.longs(file, snapshot.l1Offset(), snapshot.l1Entries()), snapshot.sizeBytes());
        change.run();
    }

    /** Forgets a snapshot; the disk stays what it is. */
    public static void delete(FileBytes file, String idOrName) throws BlockException {
        Changeover change = Changeover.of(file);
        List<Snapshot> list = new ArrayList<>(change.image.snapshots);
        list.remove(find(change, idOrName));
        change.snapshots(list);
        change.run();
    }

    /** By its id, or else by its name. */
    private static Snapshot find(Changeover change, String idOrName) throws BlockException {
        return Snapshot.find(change.image.snapshots, idOrName)
                .orElseThrow(() -> BlockError.of(
                                ErrorKind.NOT_FOUND,
                                change.file.name(),
                                "find a snapshot",
                                "it has no snapshot '" + idOrName + "'")
                        .toException());
    }

    private static BlockException refused(FileBytes file, String why) {
        return BlockError.of(ErrorKind.INVALID, file.name(), "make a snapshot", why)
                .toException();
    }
}
