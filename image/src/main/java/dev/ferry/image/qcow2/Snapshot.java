package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Header.sound;
import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockException;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * An internal snapshot, as the snapshot table has it.
 *
 * @param sizeBytes size of the disk then
 * @param seconds when it was taken, since the epoch
 * @param nanos and the fraction
 * @param guestNanos how long the guest had been running
 * @param vmStateBytes length of the machine state that is stored behind the disk, 0 if none is
 * @param stored its entry in the table, with what is not known here
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
        long vmStateBytes,
        Blob stored) {
    private static final int FIXED_BYTES = 40;
    private static final int EXTRA_BYTES = 16;
    private static final int EXTRA_LENGTH = 36;

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
        byte[] stored = Arrays.copyOf(fixed, (FIXED_BYTES + rest.length + 7) & ~7);
        System.arraycopy(rest, 0, stored, FIXED_BYTES, rest.length);
        return new Snapshot(
                new String(rest, extraLength, idLength, StandardCharsets.UTF_8),
                new String(rest, extraLength + idLength, rest.length - extraLength - idLength, StandardCharsets.UTF_8),
                u64(fixed, 0),
                s32(fixed, 8),
                extraLength >= 16 ? u64(extra, 8) : header.sizeBytes(),
                u32(fixed, 16),
                s32(fixed, 20),
                u64(fixed, 24),
                extraLength >= 8 ? u64(extra, 0) : u32(fixed, 32),
                new Blob(stored));
    }

    /** A new one, of a disk whose machine does not run. */
    static Snapshot of(String id, String name, long l1Offset, int l1Entries, long sizeBytes, long seconds, int nanos) {
        byte[] idBytes = id.getBytes(StandardCharsets.UTF_8);
        byte[] nameBytes = name.getBytes(StandardCharsets.UTF_8);
        int idAt = FIXED_BYTES + EXTRA_BYTES;
        byte[] stored = new byte[(idAt + idBytes.length + nameBytes.length + 7) & ~7];
        u64(stored, 0, l1Offset);
        s32(stored, 8, l1Entries);
        s32(stored, 12, idBytes.length << 16 | nameBytes.length);
        s32(stored, 16, (int) seconds);
        s32(stored, 20, nanos);
        s32(stored, EXTRA_LENGTH, EXTRA_BYTES);
        u64(stored, FIXED_BYTES + 8, sizeBytes);
        System.arraycopy(idBytes, 0, stored, idAt, idBytes.length);
        System.arraycopy(nameBytes, 0, stored, idAt + idBytes.length, nameBytes.length);
        return new Snapshot(id, name, l1Offset, l1Entries, sizeBytes, seconds, nanos, 0, 0, new Blob(stored));
    }

    /** By its id, or else by its name. */
    static Optional<Snapshot> find(List<Snapshot> snapshots, String idOrName) {
        return snapshots.stream()
                .filter(one -> one.id.equals(idOrName))
                .findFirst()
                .or(() -> snapshots.stream()
                        .filter(one -> one.name.equals(idOrName))
                        .findFirst());
    }

    /** Its id, where that is a number, as all are that QEMU gives. */
    long number() {
        return id.matches("[0-9]{1,18}") ? Long.parseLong(id) : 0;
    }

    /** False where its disk has the size of the image, whatever that becomes. */
    boolean saysItsSize() {
        return u32(stored.bytes(), EXTRA_LENGTH) >= EXTRA_BYTES;
    }

    private String printable() {
        return id.replaceAll("[^ -~]", "?");
    }
}
