package dev.ferry.server.inventory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import org.jdbi.v3.core.JdbiException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The inventory keeps what it is told, and refuses what it cannot trust. */
final class InventoryTest {
    private static final DiskRow DISK = new DiskRow("vm1", "fast", "raw", "thin", 1 << 20, "/fast/vm1.raw");

    @TempDir
    Path directory;

    private Path file() {
        return directory.resolve("inventory.db");
    }

    private void fill() throws IOException {
        try (Inventory inventory = Inventory.open(file())) {
            inventory.add(new DatastoreRow("fast", "dir", "/fast"));
            inventory.add(new DatastoreRow("slow", "dir", "/slow"));
            inventory.add(DISK);
            inventory.add(new AttachmentRow("vm1", null));
        }
    }

    @Test
    void whatWasAddedIsThereAfterReopening() throws IOException {
        fill();
        try (Inventory inventory = Inventory.open(file())) {
            assertThat(inventory.datastores()).extracting(DatastoreRow::name).containsExactly("fast", "slow");
            assertThat(inventory.disk("vm1")).contains(DISK);
            assertThat(inventory.attachments()).containsExactly(new AttachmentRow("vm1", null));
            assertThat(inventory.datastore("none")).isEmpty();
        }
    }

    @Test
    void aMoveChangesWhereADiskLives() throws IOException {
        fill();
        try (Inventory inventory = Inventory.open(file())) {
            DiskRow moved = new DiskRow("vm1", "slow", "raw", "eager", 1 << 20, "/slow/vm1.raw");
            inventory.moved(moved);
            assertThat(inventory.disks()).containsExactly(moved);
        }
    }

    @Test
    void aDatastoreWithDisksAndADiskThatIsAttachedStay() throws IOException {
        fill();
        try (Inventory inventory = Inventory.open(file())) {
            assertThatThrownBy(() -> inventory.removeDatastore("fast")).isInstanceOf(JdbiException.class);
            assertThatThrownBy(() -> inventory.removeDisk("vm1")).isInstanceOf(JdbiException.class);
            assertThatThrownBy(() -> inventory.add(DISK)).isInstanceOf(JdbiException.class);
            inventory.removeAttachment("vm1");
            inventory.removeDisk("vm1");
            inventory.removeDatastore("fast");
            assertThat(inventory.disks()).isEmpty();
        }
    }

    @Test
    void anEmptyFileIsRefusedAndLeftAlone() throws IOException {
        Files.createFile(file());
        assertRefused("is damaged: it is only 0 bytes long");
        assertThat(file()).isEmptyFile();
    }

    @Test
    void aFileThatIsNoDatabaseIsRefused() throws IOException {
        Files.write(file(), new byte[8192]);
        assertRefused("is damaged: it is not a database");
    }

    @Test
    void aDatabaseWithScrambledPagesIsRefused() throws IOException {
        fill();
        byte[] noise = new byte[4096];
        new Random(1).nextBytes(noise);
        try (FileChannel channel = FileChannel.open(file(), StandardOpenOption.WRITE)) {
            for (long page = 1; page < channel.size() / 4096; page++) {
                channel.write(ByteBuffer.wrap(noise), page * 4096);
            }
        }
        byte[] before = Files.readAllBytes(file());
        assertRefused("is damaged");
        assertThat(file()).hasBinaryContent(before);
    }

    @Test
    void aFileCutShortIsRefused() throws IOException {
        fill();
        try (FileChannel channel = FileChannel.open(file(), StandardOpenOption.WRITE)) {
            channel.truncate(channel.size() / 2);
        }
        assertRefused("is damaged");
    }

    @Test
    void aNewerSchemaIsRefused() throws Exception {
        fill();
        try (var connection = java.sql.DriverManager.getConnection("jdbc:sqlite:" + file());
                var statement = connection.createStatement()) {
            statement.execute("PRAGMA user_version=99");
        }
        assertRefused("was written by a newer ferry");
    }

    private void assertRefused(String why) {
        assertThatThrownBy(() -> Inventory.open(file()).close())
                .isInstanceOf(InventoryException.class)
                .hasMessageContaining(file().toString())
                .hasMessageContaining(why)
                .message()
                .doesNotContain("\n");
    }
}
