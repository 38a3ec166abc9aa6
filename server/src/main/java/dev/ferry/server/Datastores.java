package dev.ferry.server;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.DatastoreKind;
import dev.ferry.datastore.Space;
import dev.ferry.server.api.DatastoreAdd;
import dev.ferry.server.api.DatastoreView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.server.inventory.DatastoreRow;
import dev.ferry.server.inventory.DiskRow;
import dev.ferry.server.inventory.Inventory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The datastores that this daemon knows. Any thread. */
final class Datastores {
    private static final Logger LOG = LoggerFactory.getLogger(Datastores.class);

    private final Inventory inventory;

    Datastores(Inventory inventory) {
        this.inventory = inventory;
    }

    synchronized DatastoreView add(DatastoreAdd request) throws ProblemException, BlockException {
        if (DatastoreKind.of(request.kind()).isEmpty()) {
            throw Problems.wrongUsage(
                    "there is no kind of datastore called '" + request.kind() + "'; this version knows 'dir'");
        }
        Path path = path(request.path());
        List<Datastore> others = new ArrayList<>();
        for (DatastoreRow row : inventory.datastores()) {
            if (row.name().equals(request.name())) {
                throw Problems.conflict("datastore " + row.name() + " is there already, at " + row.path()
                        + "; choose another name, or remove that one first");
            }
            if (row.path().equals(path.toString())) {
                throw Problems.conflict(path + " is datastore " + row.name() + " already; use that one");
            }
            try {
                others.add(Datastore.open(row.name(), Path.of(row.path())));
            } catch (BlockException away) {
                // One that is not there now cannot be looked into; its path alone was compared above.
                LOG.debug("datastore {} is away", row.name(), away);
            }
        }
        Datastore added = Datastore.add(request.name(), path, others);
        tryOut(added);
        DatastoreRow row =
                new DatastoreRow(added.name(), request.kind(), added.directory().toString());
        inventory.add(row);
        return view(row);
    }

    /** Takes away what a crash has left of trials, in every datastore that is there. */
    void sweep() {
        for (DatastoreRow row : inventory.datastores()) {
            try {
                int swept = open(row.name()).sweepTrials();
                if (swept > 0) {
                    LOG.info("datastore {}: what was left of {} trials is gone", row.name(), swept);
                }
            } catch (BlockException away) {
                LOG.debug("datastore {} is not swept", row.name(), away);
            }
        }
    }

    /** Rights alone do not tell whether a file can be made. */
    private static void tryOut(Datastore datastore) throws ProblemException {
        try {
            Files.delete(Files.createTempFile(datastore.directory(), ".ferry-", ".trial"));
        } catch (IOException refused) {
            throw new ProblemException(
                    ProblemKind.CONFLICT,
                    "no file can be made in " + datastore.directory() + ": " + DataDirectory.reason(refused)
                            + "; choose a directory that can be written",
                    refused);
        }
    }

    private static Path path(String text) throws ProblemException {
        try {
            Path path = Path.of(text);
            if (!path.isAbsolute()) {
                throw Problems.wrongUsage("the path of a datastore is absolute, '" + text + "' is not");
            }
            return path.normalize();
        } catch (InvalidPathException malformed) {
            throw new ProblemException(ProblemKind.WRONG_USAGE, "'" + text + "' is not a path", malformed);
        }
    }

    List<DatastoreView> list() {
        return inventory.datastores().stream().map(this::view).toList();
    }

    DatastoreView show(String name) throws ProblemException {
        return view(row(name));
    }

    synchronized void remove(String name) throws ProblemException {
        DatastoreRow row = row(name);
        List<String> disks = disksIn(name);
        if (!disks.isEmpty()) {
            throw Problems.conflict("datastore " + name + " holds " + disks.size()
                    + (disks.size() == 1 ? " disk, " : " disks, among them ") + disks.getFirst()
                    + "; move or remove its disks first");
        }
        inventory.removeDatastore(row.name());
    }

    private List<String> disksIn(String name) {
        return inventory.disks().stream()
                .filter(disk -> disk.datastore().equals(name))
                .map(DiskRow::name)
                .toList();
    }

    private DatastoreRow row(String name) throws ProblemException {
        return inventory
                .datastore(name)
                .orElseThrow(() -> Problems.notFound(
                        "there is no datastore " + name + "; 'ferry datastore ls' lists those that there are"));
    }

    private DatastoreView view(DatastoreRow row) {
        String state = "ok";
        Space space = new Space(0, 0);
        try {
            space = Datastore.open(row.name(), Path.of(row.path())).space();
        } catch (BlockException away) {
            state = "missing";
        }
        return new DatastoreView(
                row.name(),
                row.kind(),
                row.path(),
                state,
                space.totalBytes(),
                space.freeBytes(),
                disksIn(row.name()).size());
    }

    /** Opens a datastore to make or delete a disk in it. */
    Datastore open(String name) throws BlockException {
        DatastoreRow row = inventory
                .datastore(name)
                .orElseThrow(() -> BlockError.of(
                                ErrorKind.NOT_FOUND,
                                "datastore " + name,
                                "open",
                                "there is none of that name; 'ferry datastore ls' lists those that there are")
                        .toException());
        return Datastore.open(row.name(), Path.of(row.path()));
    }
}
