package dev.ferry.datastore;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
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
            assertThat(file).doesNotExist();
            assertThat(GradualDelete.awaitFreed(Duration.ofMinutes(1))).isTrue();
            assertThat(watcher.size())
                    .as("what is left for somebody who has it open")
                    .isZero();
        }
    }

    @Test
    void manyFilesGoOneAfterTheOther() throws IOException {
        List<FileChannel> watchers = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Path file = Files.write(directory.resolve("file" + i), new byte[CONTENT_BYTES]);
            watchers.add(FileChannel.open(file));
            assertThat(GradualDelete.delete(file)).isTrue();
        }
        assertThat(GradualDelete.awaitFreed(Duration.ofMinutes(1))).isTrue();
        for (FileChannel watcher : watchers) {
            assertThat(watcher.size()).isZero();
            watcher.close();
        }
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
