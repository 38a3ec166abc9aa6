package dev.ferry.datastore;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class GradualDeleteTest {
    private static final int CONTENT_BYTES = 5 << 20;

    @TempDir
    Path directory;

    private Path file() throws IOException {
        return Files.write(directory.resolve("file"), new byte[CONTENT_BYTES]);
    }

    @Test
    void aFileGoesWithItsRoom() throws IOException {
        Path file = file();
        try (FileChannel watcher = FileChannel.open(file)) {
            assertThat(GradualDelete.delete(file)).isTrue();
            assertThat(watcher.size())
                    .as("what is left for somebody who has it open")
                    .isZero();
        }
        assertThat(file).doesNotExist();
    }

    @Test
    void aFileThatIsNotThereIsNoError() throws IOException {
        assertThat(GradualDelete.delete(directory.resolve("none"))).isFalse();
    }

    @Test
    void aFileWithAnotherNameKeepsItsContent() throws IOException {
        Path file = file();
        Path other = Files.createLink(directory.resolve("other"), file);
        assertThat(GradualDelete.delete(file)).isTrue();
        assertThat(file).doesNotExist();
        assertThat(other).hasSize(CONTENT_BYTES);
    }

    @Test
    void aSymbolicLinkGoesAloneAndItsFileStays() throws IOException {
        Path file = file();
        Path link = Files.createSymbolicLink(directory.resolve("link"), file);
        assertThat(GradualDelete.delete(link)).isTrue();
        assertThat(link).doesNotExist();
        assertThat(file).hasSize(CONTENT_BYTES);
    }
}
