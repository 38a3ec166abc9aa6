package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Makes the disk in an image longer, by zeroes, or shorter, while nobody uses it. Snapshots keep the size that they have. A
 * crash leaves the image as it was or as it is to be (see {@link Changeover}), or, between the two, without its dirty bitmaps.
 * Blocking code of the control plane.
 *
 * <p>A data file gets longer before the image does, and shorter after it; between the two it is longer than the disk, and
 * what is behind the end of the disk there goes when either is changed again.
 */
public final class Qcow2Resizer {
    private final FileBytes file;
    private final @Nullable FileBytes data;
    private final @Nullable FileBytes backing;
    private final Changeover change;
    private final Qcow2Header header;
    private final int clusterBytes;

    private Qcow2Resizer(FileBytes file, @Nullable FileBytes data, @Nullable FileBytes backing) throws BlockException {
        this.file = file;
        this.data = data;
        this.backing = backing;
        this.change = Changeover.of(file);
        this.header = change.header;
        this.clusterBytes = (int) header.clusterBytes();
    }

    /**
     * Changes the size.
     *
     * @param backing the disk that shows through where the image has nothing, if there is one
     * @param sizeBytes a multiple of 512
     */
    public static void resize(FileBytes file, @Nullable FileBytes backing, long sizeBytes) throws BlockException {
        resize(file, null, backing, sizeBytes);
    }

    /**
     * The same of any image.
     *
     * @param data the file that its data is in, where that is another
     */
    public static void resize(FileBytes file, @Nullable FileBytes data, @Nullable FileBytes backing, long sizeBytes)
            throws BlockException {
        Qcow2Resizer resizer = new Qcow2Resizer(file, data, backing);
        Invariant.that((data != null) == resizer.header.external(), "a data file for an image that has one");
        resizer.resize(sizeBytes);
    }

    private void resize(long sizeBytes) throws BlockException {
        refuseUnless(
                sizeBytes >= 0 && sizeBytes % SECTOR_BYTES == 0,
                ErrorKind.INVALID,
                "a qcow2 disk has a multiple of 512 bytes");
        boolean sized = change.image.snapshots.stream().allMatch(Snapshot::saysItsSize);
        refuseUnless(
                change.image.snapshots.isEmpty() || (header.version() >= 3 && sized),
                ErrorKind.UNSUPPORTED,
                "it has snapshots that do not say their own size, as those of version 2");
        long endBytes = Math.min(sizeBytes, header.sizeBytes());
        if (data != null && sizeBytes > header.sizeBytes()) {
            // What it has behind the end of the disk goes first.
            lengthen(data, sizeBytes);
        }
        int within = (int) (endBytes & (clusterBytes - 1));
        if (within != 0) {
            // When the disk becomes shorter too: others do not look there when they make it longer again.
            tail(endBytes >>> header.clusterBits(), within);
        }
        if (sizeBytes > header.sizeBytes()) {
            hideWhatIsBehind(sizeBytes);
        }
        change.resize(sizeBytes);
        Qcow2Bitmaps.@Nullable Directory bitmaps = null;
        if (!change.image.bitmaps.bitmaps().isEmpty()) {
            bitmaps = Qcow2Bitmaps.resized(change, sizeBytes);
            change.bitmaps(bitmaps);
        }
        change.run();
        if (bitmaps != null) {
            Qcow2Bitmaps.refer(file, header, bitmaps);
        }
        if (data != null && data.lengthBytes() > sizeBytes) {
            data.resize(sizeBytes);
            data.flush();
        }
    }

    private void lengthen(FileBytes longer, long sizeBytes) throws BlockException {
        if (longer.lengthBytes() > header.sizeBytes()) {
            longer.resize(header.sizeBytes());
        }
        longer.resize(sizeBytes);
        longer.flush();
        if (header.rawData()) {
            change.map(change.clusters.clustersOf(header.sizeBytes()), change.clusters.clustersOf(sizeBytes));
        }
    }

    /** What becomes part of the disk has to read as zeroes, whatever the backing file has there. */
    private void hideWhatIsBehind(long sizeBytes) throws BlockException {
        long first = change.clusters.clustersOf(header.sizeBytes());
        long shown = backing == null ? 0 : Math.min(backing.lengthBytes(), sizeBytes);
        long end = change.clusters.clustersOf(shown);
        if (end > first) {
            refuseUnless(
                    header.version() >= 3,
                    ErrorKind.UNSUPPORTED,
                    "its backing file is longer, and version 2 of the format cannot hide what it has there");
            change.zero(first, end);
        }
    }

    /** The cluster in which the disk ends, before or after: what it holds behind the end is made zeroes. */
    private void tail(long guest, int within) throws BlockException {
        byte[] cluster = content(guest);
        byte[] wanted = Arrays.copyOf(Arrays.copyOf(cluster, within), clusterBytes);
        if (Arrays.equals(wanted, cluster)) {
            return;
        }
        if (data != null) {
            inDataFile(guest, within, wanted);
            return;
        }
        // Always elsewhere: the disk as it was may share the cluster with a snapshot that is longer.
        int parts = (within + partBytes() - 1) / partBytes();
        long bitmap = Subclusters.mask(0, parts) & Subclusters.ALL_ALLOCATED;
        change.replace(guest, change.clusters.write(wanted), bitmap | ~bitmap << Subclusters.COUNT);
    }

    /** What shows through from below up to the end of the disk becomes data, in a place that nothing points to so far. */
    private void inDataFile(long guest, int within, byte[] wanted) throws BlockException {
        FileBytes into = Objects.requireNonNull(data);
        into.write(guest << header.clusterBits(), wanted, 0, within);
        into.flush();
        change.replace(guest, guest << header.clusterBits() | COPIED, Subclusters.ALL_ALLOCATED);
    }

    private int partBytes() {
        return header.extended() ? clusterBytes / Subclusters.COUNT : clusterBytes;
    }

    /** What a cluster of the disk reads as. */
    private byte[] content(long guest) throws BlockException {
        int table = (int) (guest / header.tableEntries());
        long host = hostOffset(change.image.l1[table]);
        byte[] words = new byte[2 * Long.BYTES];
        if (host != 0) {
            file.read(host + guest % header.tableEntries() * header.entryBytes(), words, 0, header.entryBytes());
        }
        long entry = u64(words, 0);
        if (header.kind(entry) == PACKED) {
            return unpacked(entry);
        }
        byte[] content = new byte[clusterBytes];
        for (int at = 0; at < clusterBytes; at += partBytes()) {
            int whole = header.kind(entry);
            int kind = header.extended() ? Subclusters.kind(whole, u64(words, Long.BYTES), at / partBytes()) : whole;
            if (kind == NORMAL) {
                if (data == null) {
                    file.read(hostOffset(entry) + at, content, at, partBytes());
                } else {
                    data.read((guest << header.clusterBits()) + at, content, at, partBytes());
                }
            } else if (kind == UNALLOCATED && backing != null) {
                backing.read((guest << header.clusterBits()) + at, content, at, partBytes());
            }
        }
        return content;
    }

    private byte[] unpacked(long entry) throws BlockException {
        int bytes = packedBytesMax(entry, header.clusterBits());
        IoBuffer packed = IoBuffer.allocate(bytes);
        packed.copyFrom(file.read(packedOffset(entry, header.clusterBits()), bytes), 0, 0, bytes);
        IoBuffer cluster = IoBuffer.allocate(clusterBytes);
        Qcow2Header.sound(
                file,
                Compression.unpack(header.compressionType() == 1, packed, bytes, cluster),
                "its last cluster does not unpack");
        byte[] content = new byte[clusterBytes];
        cluster.copyTo(0, content, 0, clusterBytes);
        return content;
    }

    private void refuseUnless(boolean holds, ErrorKind kind, String why) throws BlockException {
        if (!holds) {
            throw BlockError.of(kind, file.name(), "resize", why).toException();
        }
    }
}
