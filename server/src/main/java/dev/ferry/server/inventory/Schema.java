package dev.ferry.server.inventory;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/**
 * The versions of the inventory's schema. A file says its own in {@code PRAGMA user_version}; each step from one to the
 * next is a list of statements here, done in one transaction. A step that has been released is never changed.
 */
final class Schema {
    private static final List<List<String>> STEPS = List.of(List.of("""
            CREATE TABLE datastore (
              name TEXT PRIMARY KEY,
              kind TEXT NOT NULL,
              path TEXT NOT NULL UNIQUE
            ) STRICT
            """, """
            CREATE TABLE disk (
              name TEXT PRIMARY KEY,
              datastore TEXT NOT NULL REFERENCES datastore(name),
              format TEXT NOT NULL,
              provisioning TEXT NOT NULL,
              size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
              path TEXT NOT NULL UNIQUE
            ) STRICT
            """, """
            CREATE TABLE attachment (
              disk TEXT PRIMARY KEY REFERENCES disk(name),
              tcp TEXT UNIQUE
            ) STRICT
            """));

    private Schema() {}

    static void upgrade(Connection connection, Path file) throws SQLException, InventoryException {
        try (Statement statement = connection.createStatement()) {
            int version;
            try (ResultSet result = statement.executeQuery("PRAGMA user_version")) {
                version = result.next() ? result.getInt(1) : 0;
            }
            if (version > STEPS.size()) {
                throw new InventoryException("the inventory " + file + " was written by a newer ferry (schema "
                        + version + ", this one knows " + STEPS.size() + "): use that one");
            }
            for (int step = version; step < STEPS.size(); step++) {
                statement.execute("BEGIN IMMEDIATE");
                for (String sql : STEPS.get(step)) {
                    statement.execute(sql);
                }
                statement.execute("PRAGMA user_version=" + (step + 1));
                statement.execute("COMMIT");
            }
        }
    }
}
