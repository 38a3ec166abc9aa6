package dev.ferry.migration.chain;

import dev.ferry.block.BlockException;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.nio.file.Path;

/** What a job needs of where it runs. Thread: any; may block. */
interface ChainHost {
    /** Where records are. */
    Path directory();

    FileOpener opener();

    OpenDisk acquire(String disk) throws BlockException;

    void release(OpenDisk disk) throws BlockException;

    /**
     * After the decision of a commit: gives the base the name that the disk's file has, and takes the other files away. May be done more
     * than once.
     *
     * @return that name
     */
    Path rename(ChainRecord record) throws BlockException, IOException;

    void ended(ChainJob job);
}
