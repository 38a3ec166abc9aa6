package dev.ferry.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.Catalog;
import dev.ferry.server.inventory.DiskRow;
import dev.ferry.server.inventory.Inventory;
import dev.ferry.stack.DiskSpec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.jdbi.v3.core.JdbiException;
import org.jspecify.annotations.Nullable;

/** The inventory as the migration engine sees it. Any thread. */
final class InventoryCatalog implements Catalog {
    private final Inventory inventory;
    private final Datastores datastores;
    private final boolean direct;

    InventoryCatalog(Inventory inventory, Datastores datastores, boolean direct) {
        this.inventory = inventory;
        this.datastores = datastores;
        this.direct = direct;
    }

    @Override
    public CatalogDisk disk(String name) throws BlockException {
        DiskRow row = row(name);
        Provisioning provisioning = Provisioning.of(row.provisioning())
                .orElseThrow(() -> new IllegalStateException("provisioning " + row.provisioning()));
        ImageFormat format =
                ImageFormat.of(row.format()).orElseThrow(() -> new IllegalStateException("format " + row.format()));
        DiskSpec spec = new DiskSpec(name, Path.of(row.path()), provisioning, false, direct, format, row.sizeBytes());
        return new CatalogDisk(row.datastore(), row.format(), spec);
    }

    @Override
    public boolean isDisk(Path file) {
        return owner(file) != null;
    }

    /** The disk whose own file this is, if it is one's. */
    @Nullable
    String owner(Path file) {
        for (DiskRow row : inventory.disks()) {
            if (same(Path.of(row.path()), file)) {
                return row.name();
            }
        }
        return null;
    }

    private static boolean same(Path one, Path other) {
        try {
            return one.equals(other) || (Files.exists(one) && Files.isSameFile(one, other));
        } catch (IOException unseen) {
            // Of a store that is away: its files are not beside the other.
            return false;
        }
    }

    private DiskRow row(String name) throws BlockException {
        Optional<DiskRow> row = inventory.disk(name);
        return row.orElseThrow(() -> BlockError.of(
                        ErrorKind.NOT_FOUND,
                        "disk " + name,
                        "open",
                        "there is none of that name; 'ferry disk ls' lists those that there are")
                .toException());
    }

    @Override
    public Datastore datastore(String name) throws BlockException {
        return datastores.open(name);
    }

    @Override
    public void moved(String disk, String datastore, Path path, Provisioning provisioning) throws BlockException {
        DiskRow row = row(disk);
        // A disk's file is named for its format.
        String format = path.toString().substring(path.toString().lastIndexOf('.') + 1);
        try {
            inventory.moved(
                    new DiskRow(disk, datastore, format, provisioning.text(), row.sizeBytes(), path.toString()));
        } catch (JdbiException failed) {
            throw BlockError.of(
                            ErrorKind.IO,
                            "the inventory",
                            "write",
                            String.valueOf(failed.getMessage())
                                    .lines()
                                    .findFirst()
                                    .orElse(""))
                    .toException();
        }
    }
}
