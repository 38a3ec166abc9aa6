package dev.ferry.image.vmdk;

import static dev.ferry.image.vmdk.Fields.SECTOR_BYTES;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.ClusterPacker;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.Deflater;
import org.jspecify.annotations.Nullable;

/**
 * Writes a disk in one sparse file with its descriptor within: {@code monolithicSparse}, with tables in front of the grains,
 * or {@code streamOptimized}, with compressed grains, markers, and tables behind them, as appliances are sent. The header is
 * written last.
 *
 * <pre>
 *   monolithicSparse  header | descriptor | second directory, tables | directory, tables | grains
 *   streamOptimized   header | descriptor | (marker grain)* marker table … | marker directory | marker footer | end
 *   marker            0 number of sectors, or first sector of the grain u64   8 length of the grain u32   12 kind u32
 * </pre>
 */
public final class VmdkWriter implements ImageWriter {
    static final int GRAIN_BYTES = 64 << 10;

    private static final int GRAIN_SECTORS = GRAIN_BYTES / SECTOR_BYTES;
    private static final int TABLE_ENTRIES = 512;
    private static final int TABLE_SECTORS = TABLE_ENTRIES * 4 / SECTOR_BYTES;
    private static final int DESCRIPTOR_SECTOR = 1;
    private static final int DESCRIPTOR_SECTORS = 20;
    private static final int FIRST_GRAIN_OF_STREAM = 128;
    private static final long SECTORS_MAX = 1L << 32;
    /** What a marker, and what does not become shorter, take besides; and the rest of a sector. */
    private static final int GROWTH_BYTES = 2048;

    private static final int GRAIN_MARKER_BYTES = 12;
    private static final int MARKER_TABLE = 1;
    private static final int MARKER_DIRECTORY = 2;
    private static final int MARKER_FOOTER = 3;
    private static final int FLAG_NEWLINES = 1;
    private static final int FLAG_SECOND_DIRECTORY = 2;
    private static final int FLAGS_OF_STREAM = 1 << 16 | 1 << 17;

    private final FileBytes file;
    private final @Nullable VmdkText text;
    private final boolean stream;
    private final long sectors;
    private final long grains;
    private final int[] directory;
    private final int[] table = new int[TABLE_ENTRIES];
    private final long tablesAt;
    private final long secondAt;
    /** Where in the file what comes next goes; the beginning of a sector. */
    private long end;

    private long next;
    private boolean tableUsed;

    /**
     * Begins a disk; what the file held is lost.
     *
     * @param text what its descriptor says
     */
    public VmdkWriter(FileBytes file, VmdkText text) throws BlockException {
        this(file, text, text.sizeBytes(), text.kind() == VmdkKind.STREAM_OPTIMIZED);
    }

    /** Begins a sparse extent of a disk that another file describes. */
    public static VmdkWriter ofExtent(FileBytes file, long sizeBytes) throws BlockException {
        return new VmdkWriter(file, null, sizeBytes, false);
    }

    private VmdkWriter(FileBytes file, @Nullable VmdkText text, long sizeBytes, boolean stream) throws BlockException {
        this.file = file;
        this.text = text;
        this.stream = stream;
        this.sectors = sizeBytes / SECTOR_BYTES;
        this.grains = (sectors + GRAIN_SECTORS - 1) / GRAIN_SECTORS;
        if (sectors == 0 || sectors >= SECTORS_MAX) {
            throw refused("a disk in one sparse file has less than 2 TiB, and not none");
        }
        this.directory = new int[(int) ((grains + TABLE_ENTRIES - 1) / TABLE_ENTRIES)];
        long directorySectors = sectorsOf(directory.length * 4L);
        long tables = directorySectors + (long) directory.length * TABLE_SECTORS;
        this.secondAt = DESCRIPTOR_SECTOR + DESCRIPTOR_SECTORS;
        this.tablesAt = secondAt + tables;
        long first = stream
                ? FIRST_GRAIN_OF_STREAM
                : (tablesAt + tables + GRAIN_SECTORS - 1) / GRAIN_SECTORS * GRAIN_SECTORS;
        file.resize(0);
        this.end = first * SECTOR_BYTES;
    }

    private BlockException refused(String why) {
        return BlockError.of(ErrorKind.INVALID, file.name(), "create", why).toException();
    }

    private static long sectorsOf(long bytes) {
        return (bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
    }

    /** Ends a disk that holds nothing yet. */
    public void finishEmpty() throws BlockException {
        zeroes(grains);
        finish();
    }

    @Override
    public int clusterBytes() {
        return GRAIN_BYTES;
    }

    @Override
    public int packedBytesMax() {
        return stream ? GRAIN_BYTES + GROWTH_BYTES : GRAIN_BYTES;
    }

    @Override
    public @Nullable ClusterPacker packer() {
        return stream ? new Deflating() : null;
    }

    /** A grain of a stream: its marker, what it was compressed to, and zeroes up to the end of a sector. */
    private static final class Deflating implements ClusterPacker {
        /** Twice as fast as the default, in files that are at most a tenth larger. */
        private static final int LEVEL = 3;

        private final Deflater deflater = new Deflater(LEVEL);

        @Override
        public int pack(long index, IoBuffer from, int at, IoBuffer to, int toAt) {
            int dataAt = toAt + GRAIN_MARKER_BYTES;
            deflater.reset();
            deflater.setInput(from.segment().asSlice(at, GRAIN_BYTES).asByteBuffer());
            deflater.finish();
            int bytes = deflater.deflate(to.segment()
                    .asSlice(dataAt, GRAIN_BYTES + GROWTH_BYTES - GRAIN_MARKER_BYTES - SECTOR_BYTES)
                    .asByteBuffer());
            Invariant.that(deflater.finished(), "deflate grows by little");
            byte[] marker = marker(index * GRAIN_SECTORS, bytes, 0, GRAIN_MARKER_BYTES);
            to.copyFrom(marker, 0, toAt, GRAIN_MARKER_BYTES);
            int whole = (int) sectorsOf(GRAIN_MARKER_BYTES + bytes) * SECTOR_BYTES;
            to.zero(dataAt + bytes, whole - GRAIN_MARKER_BYTES - bytes);
            return whole;
        }

        @Override
        public void close() {
            deflater.close();
        }
    }

    @Override
    public void zeroes(long count) throws BlockException {
        Invariant.that(count <= grains - next, "grains of the disk");
        long until = next + count;
        while (next < until) {
            advanceTo(Math.min(until, (next / TABLE_ENTRIES + 1) * TABLE_ENTRIES));
        }
    }

    @Override
    public long place(int length) throws BlockException {
        Invariant.that(next < grains && length % SECTOR_BYTES == 0, "a grain of the disk");
        long offset = end;
        table[(int) (next % TABLE_ENTRIES)] = (int) sector();
        tableUsed = true;
        end += length;
        advanceTo(next + 1);
        return offset;
    }

    private void append(byte[] bytes) throws BlockException {
        file.write(end, bytes);
        end += bytes.length;
    }

    private static byte[] marker(long sectors, int length, int kind, int bytes) {
        byte[] marker = new byte[bytes];
        ByteBuffer fields = ByteBuffer.wrap(marker).order(ByteOrder.LITTLE_ENDIAN);
        fields.putLong(0, sectors).putInt(8, length);
        if (bytes > GRAIN_MARKER_BYTES) {
            fields.putInt(12, kind);
        }
        return marker;
    }

    /** Where what comes next begins. */
    private long sector() throws BlockException {
        long sector = end / SECTOR_BYTES;
        if (sector >= SECTORS_MAX) {
            throw refused("what it holds does not fit into one sparse file of 2 TiB");
        }
        return sector;
    }

    /** No further than to the end of the table. */
    private void advanceTo(long grain) throws BlockException {
        next = grain;
        if (next % TABLE_ENTRIES == 0 || next == grains) {
            tableDone((int) ((next - 1) / TABLE_ENTRIES));
        }
    }

    private static byte[] bytes(int[] numbers) {
        byte[] bytes = new byte[(int) sectorsOf(numbers.length * 4L) * SECTOR_BYTES];
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().put(numbers);
        return bytes;
    }

    private void tableDone(int index) throws BlockException {
        if (stream && tableUsed) {
            append(marker(TABLE_SECTORS, 0, MARKER_TABLE, SECTOR_BYTES));
            directory[index] = (int) sector();
            append(bytes(table));
        } else if (!stream) {
            long within = sectorsOf(directory.length * 4L) + (long) index * TABLE_SECTORS;
            directory[index] = (int) (tablesAt + within);
            if (tableUsed) {
                file.write((tablesAt + within) * SECTOR_BYTES, bytes(table));
                file.write((secondAt + within) * SECTOR_BYTES, bytes(table));
            }
        }
        Arrays.fill(table, 0);
        tableUsed = false;
    }

    @Override
    public void finish() throws BlockException {
        Invariant.that(next == grains, "all grains");
        if (stream) {
            byte[] whole = bytes(directory);
            append(marker(whole.length / SECTOR_BYTES, 0, MARKER_DIRECTORY, SECTOR_BYTES));
            long directoryAt = sector();
            append(whole);
            append(marker(1, 0, MARKER_FOOTER, SECTOR_BYTES));
            append(header(directoryAt));
            append(new byte[SECTOR_BYTES]);
        } else {
            file.write(tablesAt * SECTOR_BYTES, bytes(directory));
            int shift = (int) (tablesAt - secondAt);
            file.write(
                    secondAt * SECTOR_BYTES,
                    bytes(Arrays.stream(directory).map(at -> at - shift).toArray()));
            if (file.lengthBytes() < end) {
                file.resize(end);
            }
        }
        if (text != null) {
            byte[] words = text.write().getBytes(StandardCharsets.UTF_8);
            Invariant.that(words.length <= DESCRIPTOR_SECTORS * SECTOR_BYTES, "the descriptor has room");
            file.write(DESCRIPTOR_SECTOR * SECTOR_BYTES, words);
        }
        file.flush();
        file.write(0, header(stream ? -1 : tablesAt));
        file.flush();
    }

    private byte[] header(long directoryAt) {
        byte[] header = new byte[SECTOR_BYTES];
        ByteBuffer fields = ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN);
        fields.put(0, "KDMV".getBytes(StandardCharsets.US_ASCII));
        fields.putInt(4, stream ? 3 : 1);
        fields.putInt(8, FLAG_NEWLINES | (stream ? FLAGS_OF_STREAM : FLAG_SECOND_DIRECTORY));
        fields.putLong(12, sectors);
        fields.putLong(20, GRAIN_SECTORS);
        fields.putLong(28, text == null ? 0 : DESCRIPTOR_SECTOR);
        fields.putLong(36, text == null ? 0 : DESCRIPTOR_SECTORS);
        fields.putInt(44, TABLE_ENTRIES);
        fields.putLong(48, stream ? 0 : secondAt);
        fields.putLong(56, directoryAt);
        fields.putLong(64, stream ? FIRST_GRAIN_OF_STREAM : firstGrain());
        fields.put(73, new byte[] {'\n', ' ', '\r', '\n'});
        fields.putShort(77, (short) (stream ? 1 : 0));
        return header;
    }

    private long firstGrain() {
        long end = tablesAt + sectorsOf(directory.length * 4L) + (long) directory.length * TABLE_SECTORS;
        return (end + GRAIN_SECTORS - 1) / GRAIN_SECTORS * GRAIN_SECTORS;
    }
}
