package dev.ferry.datastore;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A file is known again after a restart of the host, when its device may have another number, and no other is taken for it. */
final class DiskFilesTest {
    private static final String OTHER_DEVICE = "999999";

    @TempDir
    Path directory;

    private Path file;
    private String[] identity;

    @BeforeEach
    void makeAFile() throws IOException {
        file = Files.createFile(directory.resolve("vm1.raw"));
        identity = DiskFiles.identityOf(file).split(":", -1);
    }

    private static String identity(String device, String inode, String birth) {
        return device + ":" + inode + ":" + birth;
    }

    @Test
    void itIsTheSameOnADeviceOfAnotherNumber() throws IOException {
        String before = identity(OTHER_DEVICE, identity[1], identity[2]);
        Files.writeString(file, "changed since");
        assertThat(DiskFiles.isFile(file, before)).isTrue();
        assertThat(DiskFiles.sameFileSystem(file, before)).isTrue();
        DiskFiles.hide(file, before);
        assertThat(file).doesNotExist();
        assertThat(DiskFiles.sameFileSystem(file, before)).isTrue();
        DiskFiles.publish(file, before);
        assertThat(directory).isDirectoryContaining(file::equals);
        assertThat(DiskFiles.delete(file, before)).isTrue();
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void anotherFileIsNotTakenForIt() throws IOException {
        Path other = Files.createFile(directory.resolve("vm2.raw"));
        for (String wrong : new String[] {
            DiskFiles.identityOf(other),
            identity(OTHER_DEVICE, identity[1], "1" + identity[2]),
            identity(OTHER_DEVICE, identity[1] + "0", identity[2]),
            OTHER_DEVICE + ":" + identity[1]
        }) {
            assertThat(DiskFiles.isFile(file, wrong)).as(wrong).isFalse();
            assertThat(DiskFiles.delete(file, wrong)).as(wrong).isFalse();
        }
        assertThat(DiskFiles.isFile(directory.resolve("none"), DiskFiles.identityOf(file)))
                .isFalse();
        assertThat(DiskFiles.sameFileSystem(file, DiskFiles.identityOf(other))).isTrue();
        assertThat(DiskFiles.sameFileSystem(file, identity(OTHER_DEVICE, identity[1], "1")))
                .isFalse();
    }
}
