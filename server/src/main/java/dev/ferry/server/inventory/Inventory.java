package dev.ferry.server.inventory;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import org.jdbi.v3.core.ConnectionException;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.mapper.reflect.ConstructorMapper;

/**
 * The inventory: rows in, rows out. It holds no opinion on what may be done when; the database's own constraints keep
 * its tables in step with each other.
 *
 * <p><b>Thread.</b> Any; one at a time, by a lock. A change is on the disk when its method returns. A broken constraint
 * or a failing disk comes out as a {@link org.jdbi.v3.core.JdbiException}.
 */
public final class Inventory implements AutoCloseable {
    private final ReentrantLock lock = new ReentrantLock();
    private final Handle handle;

    private final Connection connection;

    private Inventory(Connection connection, Handle handle) {
        this.connection = connection;
        this.handle = handle;
    }

    /** @throws InventoryException with a line that says what is wrong with the file and what to do */
    public static Inventory open(Path file) throws InventoryException {
        Connection connection = InventoryFile.open(file);
        Jdbi jdbi = Jdbi.create(connection);
        jdbi.registerRowMapper(ConstructorMapper.factory(DatastoreRow.class));
        jdbi.registerRowMapper(ConstructorMapper.factory(DiskRow.class));
        jdbi.registerRowMapper(ConstructorMapper.factory(AttachmentRow.class));
        return new Inventory(connection, jdbi.open());
    }

    private <T> T locked(Function<Handle, T> work) {
        lock.lock();
        try {
            return work.apply(handle);
        } finally {
            lock.unlock();
        }
    }

    // ---- datastores

    public List<DatastoreRow> datastores() {
        return locked(h -> h.createQuery("SELECT name, kind, path FROM datastore ORDER BY name")
                .mapTo(DatastoreRow.class)
                .list());
    }

    public Optional<DatastoreRow> datastore(String name) {
        return locked(h -> h.createQuery("SELECT name, kind, path FROM datastore WHERE name = ?")
                .bind(0, name)
                .mapTo(DatastoreRow.class)
                .findOne());
    }

    public void add(DatastoreRow row) {
        locked(h -> h.execute(
                "INSERT INTO datastore (name, kind, path) VALUES (?, ?, ?)", row.name(), row.kind(), row.path()));
    }

    public void removeDatastore(String name) {
        locked(h -> h.execute("DELETE FROM datastore WHERE name = ?", name));
    }

    // ---- disks

    private static final String DISKS = "SELECT name, datastore, format, provisioning, size_bytes, path FROM disk";

    public List<DiskRow> disks() {
        return locked(h ->
                h.createQuery(DISKS + " ORDER BY name").mapTo(DiskRow.class).list());
    }

    public Optional<DiskRow> disk(String name) {
        return locked(h -> h.createQuery(DISKS + " WHERE name = ?")
                .bind(0, name)
                .mapTo(DiskRow.class)
                .findOne());
    }

    public void add(DiskRow row) {
        locked(h -> h.execute(
                "INSERT INTO disk (name, datastore, format, provisioning, size_bytes, path) VALUES (?, ?, ?, ?, ?, ?)",
                row.name(),
                row.datastore(),
                row.format(),
                row.provisioning(),
                row.sizeBytes(),
                row.path()));
    }

    /** The disk of this name now lives where {@code row} says. */
    public void moved(DiskRow row) {
        locked(h -> h.execute(
                "UPDATE disk SET datastore = ?, format = ?, provisioning = ?, path = ? WHERE name = ?",
                row.datastore(),
                row.format(),
                row.provisioning(),
                row.path(),
                row.name()));
    }

    public void removeDisk(String name) {
        locked(h -> h.execute("DELETE FROM disk WHERE name = ?", name));
    }

    // ---- attachments

    public List<AttachmentRow> attachments() {
        return locked(h -> h.createQuery("SELECT disk, tcp FROM attachment ORDER BY disk")
                .mapTo(AttachmentRow.class)
                .list());
    }

    public Optional<AttachmentRow> attachment(String disk) {
        return locked(h -> h.createQuery("SELECT disk, tcp FROM attachment WHERE disk = ?")
                .bind(0, disk)
                .mapTo(AttachmentRow.class)
                .findOne());
    }

    public void add(AttachmentRow row) {
        locked(h -> h.execute("INSERT INTO attachment (disk, tcp) VALUES (?, ?)", row.disk(), row.tcp()));
    }

    public void removeAttachment(String disk) {
        locked(h -> h.execute("DELETE FROM attachment WHERE disk = ?", disk));
    }

    @Override
    public void close() {
        lock.lock();
        try {
            handle.close();
            connection.close();
        } catch (SQLException failed) {
            throw new ConnectionException(failed);
        } finally {
            lock.unlock();
        }
    }
}
