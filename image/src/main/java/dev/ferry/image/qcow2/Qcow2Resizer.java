package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.*;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Makes the disk in an image longer, by zeroes, or shorter, while nobody uses it. Snapshots keep the size that they have. A
 * crash leaves the image as it was or as it is to be (see {@link Changeover}). Blocking code of the control plane.
 */
public final class Qcow2Resizer {
    private final FileBytes file;
    private final @Nullable FileBytes backing;
    private final Changeover change;
    private final Qcow2Header header;
    private final int clusterBytes;

    private Qcow2Resizer(FileBytes file, @Nullable FileBytes backing) throws BlockException {
        this.file = file;
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
        new Qcow2Resizer(file, backing).resize(sizeBytes);
    }

    private void resize(long sizeBytes) throws BlockException {
        refuseUnless(
                sizeBytes >= 0 && sizeBytes % SECTOR_BYTES == 0,
                ErrorKind.INVALID,
                "a qcow2 disk has a multiple of 512 bytes");
        refuseUnless(
                change.image.bitmaps.bitmaps().isEmpty(),
                ErrorKind.UNSUPPORTED,
                "it has dirty bitmaps, whose size would be wrong; remove them first");
        boolean sized = change.image.snapshots.stream().allMatch(Snapshot::saysItsSize);
        refuseUnless(
                change.image.snapshots.isEmpty() || (header.version() >= 3 && sized),
                ErrorKind.UNSUPPORTED,
                "it has snapshots that do not say their own size, as those of version 2");
        long endBytes = Math.min(sizeBytes, header.sizeBytes());
        int within = (int) (endBytes & (clusterBytes - 1));
        if (within != 0) {
            // When the disk becomes shorter too: others do not look there when they make it longer again.
            tail(endBytes >>> header.clusterBits(), within);
        }
        if (sizeBytes > header.sizeBytes()) {
            hideWhatIsBehind(sizeBytes);
        }
        change.resize(sizeBytes);
        change.run();
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
        int table = (int) (guest / header.tableEntries());
        long host = hostOffset(change.image.l1[table]);
        long entry = host == 0 ? 0 : u64(file.read(host + guest % header.tableEntries() * 8, Long.BYTES), 0);
        byte[] cluster;
        switch (kind(entry, header.clusterBytes() - 1, header.version() >= 3)) {
            case NORMAL -> cluster = file.read(hostOffset(entry), clusterBytes);
            case PACKED -> cluster = unpacked(entry);
            case UNALLOCATED -> cluster = below(guest << header.clusterBits());
            default -> {
                return;
            }
        }
        byte[] wanted = Arrays.copyOf(Arrays.copyOf(cluster, within), clusterBytes);
        if (Arrays.equals(wanted, cluster)) {
            return;
        }
        // Always elsewhere: the disk as it was may share the cluster with a snapshot that is longer.
        change.replace(guest, change.clusters.write(wanted));
    }

    private byte[] below(long offset) throws BlockException {
        return backing == null ? new byte[clusterBytes] : backing.read(offset, clusterBytes);
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
