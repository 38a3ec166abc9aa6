package dev.ferry.image.vmdk;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.Loop;
import dev.ferry.image.sparse.Below;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/** A file of grains, whose header and directory have been read and found sound. */
interface GrainFile {
    long sizeBytes();

    /**
     * The extent.
     *
     * @param file the file that this was read from
     * @param below what it is a delta of
     */
    BlockDevice device(Loop loop, Executor workers, BlockDevice file, @Nullable Below below);
}
