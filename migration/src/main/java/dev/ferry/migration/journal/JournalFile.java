package dev.ferry.migration.journal;

import dev.ferry.block.Invariant;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.ObjectMapper;
import tools.jackson.databind.json.JsonMapper;

/**
 * A journal in a file.
 *
 * <pre>
 *   journal = magic record* zero*
 *   magic   = "FERRYMJ1"                                   8 bytes
 *   record  = length crc body padding                      begins at a multiple of 8
 *   length  = u32, little-endian: bytes of body            1 to 1 MiB
 *   crc     = u32, little-endian: CRC-32C of length, body
 *   body    = a MoveRecord as JSON, UTF-8; its sequence is one above that of the record before
 *   padding = zeroes up to a multiple of 8
 * </pre>
 *
 * <p>The file is made longer, with zeroes that are written and not merely reserved, before records need the room. An append
 * then changes nothing but bytes that exist, and fdatasync has no metadata to wait for: the decision of a switch is taken
 * while a guest waits.
 *
 * <p>Reading ends at the first record that is not whole. If only the end of the file is like that, a crash tore the
 * last append, which nobody has acted on, and it is dropped. If a whole record of a higher sequence comes behind, the
 * file is damaged, and {@link Journals.Found#damage} says so.
 */
final class JournalFile implements Journal {
    static final byte[] MAGIC = "FERRYMJ1".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] KIND = "FERRYMJ".getBytes(StandardCharsets.US_ASCII);
    static final int GROWTH_BYTES = 64 << 10;
    static final int BODY_BYTES_MAX = 1 << 20;
    private static final int FRONT_BYTES = 8;
    private static final long FILE_BYTES_MAX = 64L << 20;

    private static final ObjectMapper JSON = JsonMapper.builder().build();

    private final FileChannel channel;
    private long end;
    private long length;
    private @Nullable IOException broken;

    private JournalFile(FileChannel channel, long end, long length) {
        this.channel = channel;
        this.end = end;
        this.length = length;
    }

    static JournalFile create(Path path) throws IOException {
        var options = Set.of(
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE,
                LinkOption.NOFOLLOW_LINKS);
        FileChannel channel = FileChannel.open(
                path, options, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        JournalFile journal = new JournalFile(channel, MAGIC.length, 0);
        try {
            journal.grow(0);
            writeFully(channel, ByteBuffer.wrap(MAGIC), 0);
            return journal;
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    static JournalFile reopen(Path path, long end) throws IOException {
        FileChannel channel =
                FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        JournalFile journal = new JournalFile(channel, end, channel.size());
        try {
            // What a torn append left behind must not outlive the next one and look like its successor.
            writeFully(channel, ByteBuffer.allocate((int) Math.max(0, journal.length - end)), end);
            return journal;
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    @Override
    public void append(MoveRecord record) throws IOException {
        if (broken != null) {
            throw new IOException("the journal failed before: " + broken.getMessage(), broken);
        }
        ByteBuffer bytes = encode(record);
        try {
            if (end + bytes.remaining() > length) {
                grow(bytes.remaining());
            }
            long next = end + bytes.remaining();
            writeFully(channel, bytes, end);
            channel.force(false);
            end = next;
        } catch (IOException e) {
            broken = e;
            throw e;
        }
    }

    private void grow(int atLeastBytes) throws IOException {
        int bytes = Math.max(GROWTH_BYTES, atLeastBytes + GROWTH_BYTES);
        writeFully(channel, ByteBuffer.allocate(bytes), length);
        channel.force(true);
        length += bytes;
    }

    /** How long a record is without what frames it. */
    static int bodyBytes(MoveRecord record) throws IOException {
        return body(record).length;
    }

    private static byte[] body(MoveRecord record) throws IOException {
        try {
            return JSON.writeValueAsBytes(record);
        } catch (JacksonException e) {
            throw new IOException("a record that is not JSON", e);
        }
    }

    private static ByteBuffer encode(MoveRecord record) throws IOException {
        byte[] body = body(record);
        Invariant.that(body.length <= BODY_BYTES_MAX, "journal record length");
        int padded = (FRONT_BYTES + body.length + 7) & ~7;
        ByteBuffer bytes = ByteBuffer.allocate(padded).order(ByteOrder.LITTLE_ENDIAN);
        bytes.putInt(body.length).putInt(checksum(body.length, body, 0)).put(body);
        return bytes.clear();
    }

    private static int checksum(int bodyLength, byte[] from, int at) {
        CRC32C crc = new CRC32C();
        crc.update(ByteBuffer.allocate(4)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(bodyLength)
                .flip());
        crc.update(from, at, bodyLength);
        return (int) crc.getValue();
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes, long position) throws IOException {
        long at = position;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }

    // ---- reading

    static Journals.Found read(String id, Path path) throws IOException {
        byte[] file;
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            if (channel.size() > FILE_BYTES_MAX) {
                return new Journals.Found(id, null, 0, "it is longer than any journal");
            }
            file = new byte[(int) channel.size()];
            ByteBuffer into = ByteBuffer.wrap(file);
            while (into.hasRemaining() && channel.read(into, into.position()) > 0) {}
        }
        return parse(id, file);
    }

    static Journals.Found parse(String id, byte[] file) {
        if (!beginsWithMagic(file)) {
            if (beginsWith(file, KIND)) {
                String version = new String(file, KIND.length, MAGIC.length - KIND.length, StandardCharsets.US_ASCII);
                return new Journals.Found(id, null, 0, "it is of another version of Ferry, " + version);
            }
            int stray = findRecord(file, 0, 0);
            return new Journals.Found(id, null, 0, stray < 0 ? null : "it does not begin as a journal does");
        }
        int at = MAGIC.length;
        MoveRecord last = null;
        int sequence = -1;
        while (true) {
            MoveRecord record = recordAt(file, at, sequence);
            if (record == null) {
                break;
            }
            last = record;
            sequence = record.sequence() + 1;
            at += (FRONT_BYTES + intAt(file, at) + 7) & ~7;
        }
        int stray = findRecord(file, at, sequence);
        String damage =
                stray < 0 ? null : "the record at byte " + at + " is damaged, and there is another at byte " + stray;
        return new Journals.Found(id, last, at, damage);
    }

    private static boolean beginsWithMagic(byte[] file) {
        return beginsWith(file, MAGIC);
    }

    private static boolean beginsWith(byte[] file, byte[] magic) {
        return file.length >= MAGIC.length
                && ByteBuffer.wrap(file, 0, magic.length).equals(ByteBuffer.wrap(magic));
    }

    /** Where a whole record lies at or behind {@code from}, or -1. */
    private static int findRecord(byte[] file, int from, int sequence) {
        for (int at = from; at <= file.length - FRONT_BYTES; at += 8) {
            MoveRecord record = recordAt(file, at, -1);
            if (record != null && record.sequence() >= sequence) {
                return at;
            }
        }
        return -1;
    }

    /** The record at a place, if there is a whole one; {@code sequence} -1: any. */
    private static @Nullable MoveRecord recordAt(byte[] file, int at, int sequence) {
        if (at > file.length - FRONT_BYTES) {
            return null;
        }
        int bodyLength = intAt(file, at);
        if (bodyLength < 1 || bodyLength > BODY_BYTES_MAX || bodyLength > file.length - at - FRONT_BYTES) {
            return null;
        }
        if (intAt(file, at + 4) != checksum(bodyLength, file, at + FRONT_BYTES)) {
            return null;
        }
        try {
            MoveRecord record = JSON.readValue(file, at + FRONT_BYTES, bodyLength, MoveRecord.class);
            return sequence == -1 || record.sequence() == sequence ? record : null;
        } catch (JacksonException e) {
            return null;
        }
    }

    private static int intAt(byte[] file, int at) {
        return ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN).getInt(at);
    }
}
