package dev.ferry.server.inventory;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteErrorCode;
import org.sqlite.SQLiteException;

/**
 * The file that the inventory lives in: made complete or not at all, looked at before it is opened, so that one that is
 * damaged is refused before anything is changed.
 *
 * <pre>
 *  SQLite's own header (100 bytes, big-endian; fileformat2.html section 1.3)
 *    0  "SQLite format 3\0"
 *   60  user_version: the version of our schema, 1 and up
 *   68  application_id: "Frry"
 * </pre>
 */
final class InventoryFile {
    private static final byte[] MAGIC = "SQLite format 3\0".getBytes(StandardCharsets.US_ASCII);
    private static final int APPLICATION_AT = 68;
    private static final int HEADER_BYTES = 100;
    private static final int APPLICATION = 0x46727279;

    private InventoryFile() {}

    /** Opens the file, making it first if it is not there, and brings its schema up to date. */
    static Connection open(Path file) throws InventoryException {
        try {
            if (Files.notExists(file, LinkOption.NOFOLLOW_LINKS)) {
                make(file);
            } else {
                checkHeader(file);
            }
            Connection connection = connect(file);
            try {
                check(connection, file);
                Schema.upgrade(connection, file);
                return connection;
            } catch (SQLException | InventoryException failed) {
                connection.close();
                throw failed;
            }
        } catch (SQLiteException failed) {
            SQLiteErrorCode code = failed.getResultCode();
            if (code == SQLiteErrorCode.SQLITE_CORRUPT || code == SQLiteErrorCode.SQLITE_NOTADB) {
                throw damaged(file, "its content contradicts itself", failed);
            }
            throw unreadable(file, failed);
        } catch (SQLException | IOException failed) {
            if (failed instanceof InventoryException clear) {
                throw clear;
            }
            throw unreadable(file, failed);
        }
    }

    private static void make(Path file) throws IOException, SQLException {
        Path whole = file.resolveSibling(file.getFileName() + ".new");
        Files.deleteIfExists(whole);
        try (Connection connection = connect(whole);
                Statement statement = connection.createStatement()) {
            statement.execute("PRAGMA application_id=" + APPLICATION);
            Schema.upgrade(connection, whole);
        }
        Files.move(whole, file, StandardCopyOption.ATOMIC_MOVE);
    }

    private static Connection connect(Path file) throws SQLException {
        SQLiteConfig config = new SQLiteConfig();
        config.setJournalMode(SQLiteConfig.JournalMode.WAL);
        config.setSynchronous(SQLiteConfig.SynchronousMode.FULL);
        config.enforceForeignKeys(true);
        config.setBusyTimeout(5000);
        return config.createConnection("jdbc:sqlite:" + file);
    }

    private static void checkHeader(Path file) throws IOException {
        ByteBuffer header;
        try (InputStream in = Files.newInputStream(file)) {
            header = ByteBuffer.wrap(in.readNBytes(HEADER_BYTES));
        }
        if (header.remaining() < HEADER_BYTES) {
            throw damaged(file, "it is only " + header.remaining() + " bytes long", null);
        }
        byte[] magic = new byte[MAGIC.length];
        header.get(0, magic);
        if (!Arrays.equals(magic, MAGIC)) {
            throw damaged(file, "it is not a database", null);
        }
        if (header.getInt(APPLICATION_AT) != APPLICATION) {
            throw damaged(file, "it is a database, but not Ferry's", null);
        }
    }

    private static void check(Connection connection, Path file) throws SQLException, InventoryException {
        try (Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery("PRAGMA quick_check(1)")) {
            String verdict = result.next() ? result.getString(1) : "no answer";
            if (!"ok".equals(verdict)) {
                throw damaged(file, verdict.lines().findFirst().orElse("its check failed"), null);
            }
        }
    }

    private static InventoryException damaged(Path file, String why, @Nullable Throwable cause) {
        String line = "the inventory " + file + " is damaged: " + why
                + "; nothing was changed: put back a copy of it, or move it away and add datastores and disks again";
        return cause == null ? new InventoryException(line) : new InventoryException(line, cause);
    }

    private static InventoryException unreadable(Path file, Exception failed) {
        return new InventoryException(
                "the inventory " + file + " cannot be opened: " + failed.getMessage()
                        + "; check the rights on it and the room on its file system",
                failed);
    }
}
