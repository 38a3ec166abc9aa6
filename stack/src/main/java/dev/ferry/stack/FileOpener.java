package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;

/** Opens the file at the bottom of a stack. There is one for real files; tests put faults between. */
@FunctionalInterface
public interface FileOpener {
    /** Called by the control plane; may block. */
    BlockDevice open(DiskLoop loop, DiskSpec spec) throws BlockException;
}
