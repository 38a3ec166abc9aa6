package dev.ferry.stack;

import dev.ferry.datastore.DiskFiles;
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
 */
public record DiskSpec(String name, Path path, Provisioning provisioning, boolean readOnly, boolean direct) {
    /** The same disk in another file. */
    public DiskSpec at(Path otherPath, Provisioning otherProvisioning) {
        return new DiskSpec(name, otherPath, otherProvisioning, readOnly, direct);
    }

    /** What errors call its file: its path, or the one that it gets when it is whole if it is hidden until then. */
    public String shownAs() {
        return DiskFiles.shownOf(path).toString();
    }

    /** The same through the page cache. */
    public DiskSpec cached() {
        return new DiskSpec(name, path, provisioning, readOnly, false);
    }
}
