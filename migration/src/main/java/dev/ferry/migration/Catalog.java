package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.Datastore;
import dev.ferry.image.Provisioning;
import dev.ferry.stack.DiskSpec;
import java.nio.file.Path;

/**
 * What the engine asks of whoever keeps the inventory. Called from threads of the engine; may block.
 *
 * <p>At a switch the journal decides and the inventory follows: {@link #moved} is called after the decision is durable, and
 * again after a crash, until it has returned once.
 */
public interface Catalog {
    /** @throws BlockException of kind {@code NOT_FOUND} if there is no such disk; its message is for people */
    CatalogDisk disk(String name) throws BlockException;

    /** Whether a file is a disk's own, which may change at any time; one below disks is not. */
    default boolean isDisk(Path file) {
        return false;
    }

    /** @throws BlockException of kind {@code NOT_FOUND} if there is no such datastore */
    Datastore datastore(String name) throws BlockException;

    /**
     * The disk now lives elsewhere. Must be durable when it returns; may be told the same more than once.
     *
     * @throws BlockException if that could not be written down; the source is then kept, and this is tried again
     */
    void moved(String disk, String datastore, Path path, Provisioning provisioning) throws BlockException;

    /**
     * A disk as the inventory knows it.
     *
     * @param datastore name of the datastore that it is in
     * @param format such as {@code raw}
     * @param spec how it is opened, or would be
     */
    record CatalogDisk(String datastore, String format, DiskSpec spec) {}
}
