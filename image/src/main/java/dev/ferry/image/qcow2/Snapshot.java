package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * An internal snapshot, as the snapshot table has it.
 *
 * @param sizeBytes size of the disk then
 * @param seconds when it was taken, since the epoch
 * @param nanos and the fraction
 * @param guestNanos how long the guest had been running
 * @param vmStateBytes length of the machine state that is stored behind the disk, 0 if none is
 */
record Snapshot(
        String id,
        String name,
        long l1Offset,
        int l1Entries,
        long sizeBytes,
        long seconds,
        int nanos,
        long guestNanos,
        long vmStateBytes) {
    private static final int FIXED_BYTES = 40;

    /** The table with its length in the file. */
    record Table(List<Snapshot> snapshots, long bytes) {}

    static Table read(FileBytes file, Qcow2Header header) throws BlockException {
        List<Snapshot> found = new ArrayList<>();
        long at = header.snapshotOffset();
        for (int i = 0; i < header.snapshotCount(); i++) {
            byte[] fixed = file.read(at, FIXED_BYTES);
            int idLength = u16(fixed, 12);
            int nameLength = u16(fixed, 14);
            long extraLength = u32(fixed, 36);
            long length = (FIXED_BYTES + extraLength + idLength + nameLength + 7) & ~7L;
            long end = at + FIXED_BYTES + extraLength + idLength + nameLength - header.snapshotOffset();
            sound(file, extraLength <= 1024, "a snapshot has " + extraLength + " bytes of extra data");
            sound(file, end <= SNAPSHOT_TABLE_BYTES_MAX, "the snapshot table is too long");
            header.table(file, "snapshot table", header.snapshotOffset(), end);
            byte[] rest = file.read(at + FIXED_BYTES, (int) extraLength + idLength + nameLength);
            found.add(parse(header, fixed, rest, (int) extraLength, idLength));
            at += length;
        }
        for (Snapshot snapshot : found) {
            sound(
                    file,
                    snapshot.l1Entries <= L1_BYTES_MAX / 8 && snapshot.l1Entries >= 0,
                    "a snapshot's L1 table is too long");
            header.table(
                    file, "L1 table of snapshot " + snapshot.printable(), snapshot.l1Offset, snapshot.l1Entries * 8L);
        }
        return new Table(List.copyOf(found), at - header.snapshotOffset());
    }

    private static Snapshot parse(Qcow2Header header, byte[] fixed, byte[] rest, int extraLength, int idLength) {
        byte[] extra = Arrays.copyOf(rest, extraLength);
        return new Snapshot(
                new String(rest, extraLength, idLength, StandardCharsets.UTF_8),
                new String(rest, extraLength + idLength, rest.length - extraLength - idLength, StandardCharsets.UTF_8),
                u64(fixed, 0),
                s32(fixed, 8),
                extraLength >= 16 ? u64(extra, 8) : header.sizeBytes(),
                u32(fixed, 16),
                s32(fixed, 20),
                u64(fixed, 24),
                extraLength >= 8 ? u64(extra, 0) : u32(fixed, 32));
    }

    private String printable() {
        return id.replaceAll("[^ -~]", "?");
    }
}
