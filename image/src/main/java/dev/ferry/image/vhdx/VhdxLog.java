package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxImage.flaw;
import static dev.ferry.image.vhdx.VhdxImage.require;
import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * The log of a file that was not closed properly: a ring of entries, each with changes to whole units of 4096 bytes. What
 * counts is the run of entries, with numbers one after the other, whose last one has the highest number and says that the
 * run begins within it. Changes nothing. Blocking code.
 *
 * <pre>
 *   entry       header, descriptors up to a multiple of 4096, a unit for each change of data
 *   header      0 "loge"  4 CRC-32C of the entry  8 its length u32  12 place of the first entry u32  16 number u64
 *               24 descriptors u32   32 identity of the log   48 the file's length at least u64   56 and after it u64
 *   descriptor  0 "desc"  4 last 4 bytes  8 first 8 bytes  16 place in the file u64  24 number u64
 *               0 "zero"  8 length u64    16 place in the file u64  24 number u64
 *   unit        0 "data"  4 number, high half  8 the bytes between  4092 number, low half
 * </pre>
 */
final class VhdxLog {
    private static final long ENTRY_MAGIC = 0x65676f6c;
    private static final long DATA_MAGIC = 0x63736564;
    private static final long ZERO_MAGIC = 0x6f72657a;
    private static final long UNIT_MAGIC = 0x61746164;
    private static final int UNIT_BYTES = 4096;
    private static final int HEADER_LENGTH = 64;
    private static final int DESCRIPTOR_BYTES = 32;
    private static final int LOG_BYTES_MAX = 4 << 20;
    private static final long PLACE_BYTES_MAX = 1L << 47;

    private final FileBytes file;
    private final byte[] log;
    private final UUID identity;
    private final Map<Integer, Entry> known = new HashMap<>();
    private final Set<Integer> unsound = new HashSet<>();

    private VhdxLog(FileBytes file, byte[] log, UUID identity) {
        this.file = file;
        this.log = log;
        this.identity = identity;
    }

    /** What has to be changed in the file. */
    static final class Change {
        private final long offset;
        private final long length;
        private final byte @Nullable [] bytes;

        Change(long offset, long length, byte @Nullable [] bytes) {
            this.offset = offset;
            this.length = length;
            this.bytes = bytes;
        }

        long offset() {
            return offset;
        }

        /** Null: zeroes. */
        byte @Nullable [] bytes() {
            return bytes;
        }

        long end() {
            return offset + length;
        }
    }

    private static final class Entry {
        private final int at;
        private final byte[] bytes;

        Entry(int at, byte[] bytes) {
            this.at = at;
            this.bytes = bytes;
        }

        int at() {
            return at;
        }

        byte[] bytes() {
            return bytes;
        }

        long number() {
            return u64(bytes, 16);
        }

        long tail() {
            return u32(bytes, 12);
        }
    }

    /** The changes that have to be made, in their order. */
    static List<Change> read(FileBytes file, byte[] header) throws BlockException {
        long at = u64(header, LOG_PLACE);
        long length = u32(header, LOG_LENGTH);
        if (length > LOG_BYTES_MAX || u16(header, LOG_VERSION) != 0) {
            throw flaw(file, ErrorKind.UNSUPPORTED, "it was not closed properly, and its log is of a kind not known");
        }
        require(
                file,
                length > 0 && length % UNIT_BYTES == 0 && at > 0 && at <= file.lengthBytes() - length,
                "its log is past the end of the file");
        return new VhdxLog(file, file.read(at, (int) length), identity(header, LOG_IDENTITY)).changes();
    }

    private List<Change> changes() throws BlockException {
        List<Entry> active = List.of();
        for (int at = 0; at < log.length; at += UNIT_BYTES) {
            List<Entry> run = run(at);
            if (!run.isEmpty()
                    && (active.isEmpty()
                            || run.getLast().number() > active.getLast().number())) {
                active = run;
            }
        }
        require(file, !active.isEmpty(), "it was not closed properly, and its log is damaged");
        Entry last = active.getLast();
        require(file, file.lengthBytes() >= u64(last.bytes(), 48), "it is shorter than its log says that it was");
        List<Change> changes = new ArrayList<>();
        for (Entry entry : active) {
            collect(entry, changes);
        }
        return changes;
    }

    /** The run that ends with the last entry that follows from there on; empty if it does not begin within that. */
    private List<Entry> run(int from) {
        List<Entry> run = new ArrayList<>();
        int at = from;
        int length = 0;
        for (Entry entry = entry(at); entry != null; entry = entry(at)) {
            boolean follows = run.isEmpty() || entry.number() == run.getLast().number() + 1;
            length += entry.bytes().length;
            if (!follows || length > log.length) {
                break;
            }
            run.add(entry);
            at = (at + entry.bytes().length) % log.length;
        }
        for (int i = 0; i < run.size(); i++) {
            if (run.get(i).at() == run.getLast().tail()) {
                return run.subList(i, run.size());
            }
        }
        return List.of();
    }

    private @Nullable Entry entry(int at) {
        Entry entry = known.get(at);
        if (entry != null || unsound.contains(at)) {
            return entry;
        }
        long length = u32(log, at + 8);
        boolean possible = u32(log, at) == ENTRY_MAGIC
                && length >= UNIT_BYTES
                && length % UNIT_BYTES == 0
                && length <= log.length
                && u64(log, at + 16) > 0
                && identity(log, at + 32).equals(identity);
        if (possible) {
            byte[] bytes = new byte[(int) length];
            int first = Math.min(bytes.length, log.length - at);
            System.arraycopy(log, at, bytes, 0, first);
            System.arraycopy(log, 0, bytes, first, bytes.length - first);
            if (VhdxLayout.sound(bytes)) {
                entry = new Entry(at, bytes);
                known.put(at, entry);
                return entry;
            }
        }
        unsound.add(at);
        return null;
    }

    private void collect(Entry entry, List<Change> changes) throws BlockException {
        byte[] bytes = entry.bytes();
        long count = u32(bytes, 24);
        long units = (HEADER_LENGTH + count * DESCRIPTOR_BYTES + UNIT_BYTES - 1) / UNIT_BYTES;
        require(file, units * UNIT_BYTES <= bytes.length, "an entry of its log is damaged");
        long end = u64(bytes, 56);
        int unit = (int) units * UNIT_BYTES;
        for (int i = 0; i < count; i++) {
            int at = HEADER_LENGTH + i * DESCRIPTOR_BYTES;
            long kind = u32(bytes, at);
            long place = u64(bytes, at + 16);
            long length = kind == ZERO_MAGIC ? u64(bytes, at + 8) : UNIT_BYTES;
            require(
                    file,
                    (kind == ZERO_MAGIC || kind == DATA_MAGIC)
                            && u64(bytes, at + 24) == entry.number()
                            && place >= 0
                            && place % UNIT_BYTES == 0
                            && length > 0
                            && length % UNIT_BYTES == 0
                            && end >= 0
                            && end <= PLACE_BYTES_MAX
                            && length <= Math.max(end, file.lengthBytes()) - place,
                    "an entry of its log is damaged");
            if (kind == ZERO_MAGIC) {
                changes.add(new Change(place, length, null));
            } else {
                changes.add(new Change(place, length, unit(entry, at, unit)));
                unit += UNIT_BYTES;
            }
        }
    }

    private byte[] unit(Entry entry, int descriptor, int at) throws BlockException {
        byte[] bytes = entry.bytes();
        require(
                file,
                at <= bytes.length - UNIT_BYTES
                        && u32(bytes, at) == UNIT_MAGIC
                        && (u32(bytes, at + 4) << 32 | u32(bytes, at + UNIT_BYTES - 4)) == entry.number(),
                "an entry of its log is damaged");
        byte[] unit = new byte[UNIT_BYTES];
        System.arraycopy(bytes, descriptor + 8, unit, 0, 8);
        System.arraycopy(bytes, at + 8, unit, 8, UNIT_BYTES - 12);
        System.arraycopy(bytes, descriptor + 4, unit, UNIT_BYTES - 4, 4);
        return unit;
    }

    /** Makes changes in the file, and makes them durable. */
    static void apply(FileBytes file, List<Change> changes) throws BlockException {
        byte[] zeroes = new byte[1 << 20];
        for (Change change : changes) {
            byte[] bytes = change.bytes();
            if (bytes != null) {
                file.write(change.offset(), bytes);
                continue;
            }
            // What is behind the end is zeroes when it becomes part of the file.
            long end = Math.min(change.end(), file.lengthBytes());
            for (long at = change.offset(); at < end; at += zeroes.length) {
                file.write(at, zeroes, 0, (int) Math.min(zeroes.length, end - at));
            }
        }
        file.flush();
    }
}
