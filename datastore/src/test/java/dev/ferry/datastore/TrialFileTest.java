package dev.ferry.datastore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TrialFileTest {
    @TempDir
    Path directory;

    @Test
    void isGoneWhenItIsClosedUnderWhicheverName() throws Exception {
        Datastore datastore = Datastore.open("d", directory);
        try (TrialFile file = datastore.trial("x")) {
            file.extend(12_345);
            assertThat(directory).isDirectoryContaining("glob:**/.ferry-x.trial");
            assertThat(Files.size(file.path())).isEqualTo(12_345);
            file.rename();
            assertThat(directory.toFile().list()).hasSize(1);
            assertThat(Files.size(file.path())).isEqualTo(12_345);
            assertThat(datastore.leftovers()).isEmpty();
        }
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void whatACrashLeftIsSweptAndNothingElse() throws Exception {
        Datastore datastore = Datastore.open("d", directory);
        datastore.trial("x").extend(1 << 20);
        datastore.trial("y").rename();
        for (String name : new String[] {"vm1.raw", ".vm1.raw.partial", "ferry-z.trial", ".ferry-z", ".trial"}) {
            Files.createFile(directory.resolve(name));
        }
        Files.createDirectory(directory.resolve(".ferry-directory.trial"));
        Files.createSymbolicLink(directory.resolve(".ferry-link.trial"), directory.resolve("vm1.raw"));
        assertThat(datastore.sweepTrials()).isEqualTo(2);
        assertThat(directory.toFile().list())
                .containsExactlyInAnyOrder(
                        "vm1.raw",
                        ".vm1.raw.partial",
                        "ferry-z.trial",
                        ".ferry-z",
                        ".trial",
                        ".ferry-directory.trial",
                        ".ferry-link.trial");
        assertThat(datastore.sweepTrials()).isZero();
    }

    @Test
    void oneThatIsInUseIsLeftAlone() throws Exception {
        Datastore datastore = Datastore.open("d", directory);
        TrialFile file = datastore.trial("x");
        assertThat(file.locked()).isFalse();
        try (FileChannel channel = FileChannel.open(file.path(), StandardOpenOption.WRITE);
                FileLock lock = channel.lock()) {
            assertThat(lock.isValid()).isTrue();
            assertThat(file.locked()).isTrue();
            assertThat(datastore.sweepTrials()).isZero();
        }
        assertThat(datastore.sweepTrials()).isOne();
    }

    @Test
    void aDirectoryThatTakesNoFilesSaysSo() throws Exception {
        Path place = Files.createDirectory(directory.resolve("place"));
        Datastore datastore = Datastore.open("d", place);
        Files.delete(place);
        assertThatThrownBy(() -> datastore.trial("x"))
                .isInstanceOf(BlockException.class)
                .hasMessageContaining("does not exist");
    }
}
