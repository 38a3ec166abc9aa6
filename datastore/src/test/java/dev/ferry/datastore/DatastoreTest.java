package dev.ferry.datastore;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DatastoreTest {
    @TempDir
    Path directory;

    @Test
    void refusesAPathThatIsMissing() {
        refused(ErrorKind.NOT_FOUND, "does not exist", () -> Datastore.open("fast", directory.resolve("nothing")));
    }

    @Test
    void refusesAPathThatIsAFile() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));
        refused(ErrorKind.INVALID, "is not a directory", () -> Datastore.open("fast", file));
    }

    @Test
    void refusesADirectoryOfAReadOnlyFileSystem() {
        refused(ErrorKind.ACCESS, "read-only", () -> Datastore.open("fast", Path.of("/proc/self")));
    }

    @Test
    void refusesADirectoryThatOverlapsWithAnother() throws IOException {
        Path inner = Files.createDirectories(directory.resolve("a/b"));
        List<Datastore> others = List.of(Datastore.open("a", directory.resolve("a")));
        refused(ErrorKind.INVALID, "lie in one another", () -> Datastore.add("b", inner, others));
        refused(ErrorKind.INVALID, "lie in one another", () -> Datastore.add("b", directory, others));
        refused(
                ErrorKind.INVALID,
                "is the directory of datastore a",
                () -> Datastore.add("b", inner.resolve(".."), others));
        Path link = Files.createSymbolicLink(directory.resolve("link"), inner);
        refused(ErrorKind.INVALID, "lie in one another", () -> Datastore.add("b", link, others));
        refused(
                ErrorKind.BUSY,
                "of that name",
                () -> Datastore.add("a", Files.createDirectory(directory.resolve("c")), others));
        Path beside = Files.createDirectory(directory.resolve("ab"));
        assertThat(Datastore.add("b", beside, others).directory()).isEqualTo(beside.toRealPath());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {"", "a/b", "../a", "..", ".", ".hidden", "-f", "a b", "a\u0000", "a\n", "ä", "a\\b", "a\u001b[2J"
            })
    void refusesNamesThatAreNone(String name) throws BlockException {
        Datastore datastore = Datastore.open("fast", directory);
        refused(ErrorKind.INVALID, "", () -> datastore.fileOf(name, "raw"));
        refused(ErrorKind.INVALID, "", () -> Datastore.open(name, directory));
        assertThat(Names.valid(name)).isFalse();
    }

    @Test
    void takesNamesUpToTheirBound() throws BlockException {
        Datastore datastore = Datastore.open("fast", directory);
        String longest = "n".repeat(Names.LENGTH_MAX);
        datastore.create(longest, "raw", 512).publish();
        assertThat(datastore.fileOf(longest, "raw")).exists();
        refused(ErrorKind.INVALID, "at most 200", () -> datastore.fileOf(longest + "n", "raw"));
    }

    @Test
    void aNewDiskIsSparseAndPrivateAndHiddenUntilPublished() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        NewDisk disk = datastore.create("vm1", "raw", 10_000_001);
        assertThat(disk.file()).doesNotExist();
        assertThat(disk.partial()).hasSize(10_000_001);
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(disk.partial())))
                .isEqualTo("rw-------");
        assertThat(datastore.leftovers()).containsExactly(disk.partial());
        disk.publish();
        disk.publish();
        assertThat(disk.file()).hasSize(10_000_001);
        assertThat(disk.partial()).doesNotExist();
        assertThat(DiskFiles.isFile(disk.file(), disk.identity())).isTrue();
        assertThat(datastore.leftovers()).isEmpty();
    }

    @Test
    void aNewDiskOfNoBytesIsEmpty() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        NewDisk disk = datastore.create("vm1", "raw", 0);
        disk.publish();
        assertThat(disk.file()).isEmptyFile();
    }

    @Test
    void neverReplacesAFileThatIsThere() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        NewDisk disk = datastore.create("vm1", "raw", 512);
        refused(ErrorKind.BUSY, "being made", () -> datastore.create("vm1", "raw", 512));
        Files.writeString(disk.file(), "precious");
        refused(ErrorKind.BUSY, "exists already", disk::publish);
        refused(ErrorKind.BUSY, "exists already", () -> datastore.create("vm1", "raw", 512));
        disk.discard();
        assertThat(disk.file()).hasContent("precious");
        assertThat(disk.partial()).doesNotExist();
    }

    @Test
    void followsNoSymbolicLink() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        Path victim = directory.resolve("victim");
        Files.createSymbolicLink(directory.resolve(".vm1.raw.partial"), victim);
        refused(ErrorKind.BUSY, "", () -> datastore.create("vm1", "raw", 512));
        Files.createSymbolicLink(directory.resolve("vm2.raw"), victim);
        refused(ErrorKind.BUSY, "", () -> datastore.create("vm2", "raw", 512));
        assertThat(victim).doesNotExist();
    }

    @Test
    void discardTakesAPublishedDiskAwayButNotAnotherOfItsName() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        NewDisk first = datastore.create("vm1", "raw", 512);
        first.publish();
        first.discard();
        assertThat(first.file()).doesNotExist();
        first.discard();
        Path keep = Files.createFile(directory.resolve("holds-the-inode-numbers-apart"));
        Files.writeString(first.file(), "another");
        assertThat(DiskFiles.delete(first.file(), "0:0")).isFalse();
        assertThat(first.file()).hasContent("another");
        assertThat(keep).exists();
    }

    @Test
    void publishFinishesWhatACrashInterrupted() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        NewDisk disk = datastore.create("vm1", "raw", 512);
        Files.createLink(disk.file(), disk.partial());
        disk.publish();
        assertThat(disk.file()).exists();
        assertThat(disk.partial()).doesNotExist();
    }

    @Test
    void tellsItsSpace() throws BlockException {
        Space space = Datastore.open("fast", directory).space();
        assertThat(space.freeBytes()).isPositive().isLessThanOrEqualTo(space.totalBytes());
    }

    @Test
    void deletesADisk() throws IOException {
        Datastore datastore = Datastore.open("fast", directory);
        datastore.create("vm1", "raw", 512).publish();
        datastore.delete("vm1", "raw");
        datastore.delete("vm1", "raw");
        assertThat(directory).isEmptyDirectory();
        Files.createDirectory(directory.resolve("vm2.raw"));
        refused(ErrorKind.INVALID, "is a directory", () -> datastore.delete("vm2", "raw"));
    }

    private static void refused(
            ErrorKind kind, String words, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
        assertThatThrownBy(call).isInstanceOfSatisfying(BlockException.class, e -> {
            assertThat(e.kind()).isEqualTo(kind);
            assertThat(e.getMessage()).contains(words).doesNotContain("\n", "\u001b");
        });
    }
}
