package dev.ferry.stack;

import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import java.nio.file.Path;

/**
 * What to open.
 *
 * @param name what people know the disk by
 * @param path its file
 * @param provisioning what its format is to uphold
 * @param readOnly it is opened so that nothing can change it
 * @param direct past the page cache (O_DIRECT)
 * @param format how the disk lies in its file
 * @param sizeBytes of the disk, where its format may have rounded that up; 0: what the file says
 */
public record DiskSpec(
        String name,
        Path path,
        Provisioning provisioning,
        boolean readOnly,
        boolean direct,
        ImageFormat format,
        long sizeBytes) {
    /** A disk as long as its file says. */
    public DiskSpec(
            String name, Path path, Provisioning provisioning, boolean readOnly, boolean direct, ImageFormat format) {
        this(name, path, provisioning, readOnly, direct, format, 0);
    }

    /** A disk in format raw. */
    public DiskSpec(String name, Path path, Provisioning provisioning, boolean readOnly, boolean direct) {
        this(name, path, provisioning, readOnly, direct, ImageFormat.RAW);
    }

    /** The same disk in another file. */
    public DiskSpec at(Path otherPath, Provisioning otherProvisioning) {
        return new DiskSpec(name, otherPath, otherProvisioning, readOnly, direct, format, sizeBytes);
    }

    /** What errors call its file: its path, or the one that it gets when it is whole if it is hidden until then. */
    public String shownAs() {
        return DiskFiles.shownOf(path).toString();
    }

    /** Its file is to be opened with O_DIRECT: that is wanted, and its format can be written so. */
    public boolean pastTheCache() {
        return direct && (readOnly || format.inWholeBlocks());
    }

    /** The same through the page cache. */
    public DiskSpec cached() {
        return new DiskSpec(name, path, provisioning, readOnly, false, format, sizeBytes);
    }

    /** The same, so that nothing can change it. */
    public DiskSpec asReadOnly() {
        return new DiskSpec(name, path, provisioning, true, direct, format, sizeBytes);
    }

    /** The same in another format. */
    public DiskSpec in(ImageFormat other) {
        return new DiskSpec(name, path, provisioning, readOnly, direct, other, sizeBytes);
    }

    /** The same, of a size that is known. */
    public DiskSpec sized(long knownBytes) {
        return new DiskSpec(name, path, provisioning, readOnly, direct, format, knownBytes);
    }

    /** How long the disk is, where that is what its file says of it, in bytes. */
    long sizeBytes(long saidBytes) {
        return sizeBytes > 0 && sizeBytes < saidBytes && format.paddedBytes(sizeBytes) == saidBytes
                ? sizeBytes
                : saidBytes;
    }
}
