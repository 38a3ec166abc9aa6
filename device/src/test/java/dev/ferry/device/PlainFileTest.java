package dev.ferry.device;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlainFileTest {
    @TempDir
    Path folder;

    @Test
    void whatIsWrittenIsReadAndTheFileGrowsByZeroes() throws Exception {
        Path path = Files.createFile(folder.resolve("a"));
        IoBuffer buffer = IoBuffer.allocate(8192);
        try (PlainFile file = PlainFile.open(path, "a")) {
            buffer.segment().fill((byte) 7);
            file.write(5000, buffer, 100, 3000);
            assertThat(file.lengthBytes()).isEqualTo(8000);
            assertThat(file.read(4999, buffer, 0, 8192)).isEqualTo(3001);
            assertThat(buffer.isZero(0, 1)).isTrue();
            file.resize(9000);
            file.flush();
        }
        byte[] bytes = Files.readAllBytes(path);
        assertThat(bytes).hasSize(9000);
        assertThat(bytes[5000]).isEqualTo((byte) 7);
        assertThat(bytes[8000]).isZero();
    }

    @Test
    void itHasOneWriter() throws Exception {
        Path path = Files.createFile(folder.resolve("a"));
        try (PlainFile file = PlainFile.open(path, "a")) {
            assertThatThrownBy(() -> PlainFile.open(path, "shown"))
                    .hasMessageContaining("shown")
                    .asInstanceOf(InstanceOfAssertFactories.type(BlockException.class))
                    .extracting(BlockException::kind)
                    .isEqualTo(ErrorKind.BUSY);
            assertThat(file.lengthBytes()).isZero();
        }
        PlainFile.open(path, "a").close();
    }

    @Test
    void whatIsNotThereIsOneLine() {
        assertThatThrownBy(() -> PlainFile.open(folder.resolve("absent"), "absent"))
                .hasMessageContaining("absent")
                .hasMessageContaining("no such file");
    }
}
