package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One file of a format whose disks may be of several, each over a parent, all of the same format. */
public interface DeltaFile {
    /** It holds only what differs from a parent. */
    boolean delta();

    /** The names under which the parent may lie beside it, the likeliest first; none if it has no parent or names none. */
    List<String> parentNames();

    /** Why another file is not the parent that this was made over, as a clause; null if it is. */
    @Nullable
    String flawOfParent(DeltaFile candidate);

    /**
     * The disk.
     *
     * @param file the file that this was read from
     * @param below its parent, if it has one; closing the disk does not close that
     */
    BlockDevice device(BlockDevice file, @Nullable Below below);
}
