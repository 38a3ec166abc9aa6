package dev.ferry.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A disk of two files is removed, and the process dies at any point of that. */
@Timeout(60)
final class RemovalsTest {
    @TempDir
    Path directory;

    private EventLoops loops;
    private Stacks stacks;
    private Path store;
    private Path own;
    private Path part;

    @BeforeEach
    void makeADisk() throws IOException {
        loops = EventLoops.start(1, EventLoops.Kind.AUTO);
        EventLoop events = loops.all().getFirst();
        stacks = new Stacks(
                List.of(new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(1 << 20))), DataPlane.FILES);
        store = Files.createDirectory(directory.toRealPath().resolve("store"));
        own = Files.writeString(store.resolve("vm.vmdk"), """
                # Disk DescriptorFile
                version=1
                CID=1
                parentCID=ffffffff
                createType="monolithicFlat"
                RW 8 FLAT "vm-flat.vmdk" 0
                """);
        part = Files.write(store.resolve("vm-flat.vmdk"), new byte[4096]);
    }

    @AfterEach
    void stop() {
        loops.close();
    }

    private Removals started() throws IOException {
        return new Removals(directory.resolve("removals"), stacks, file -> false);
    }

    private DiskSpec disk() {
        return new DiskSpec("vm", own, Provisioning.THIN, false, false, ImageFormat.VMDK);
    }

    /** The process dies here. */
    private static final class Killed extends Error {
        private static final long serialVersionUID = 1L;
    }

    private String[] records() {
        return directory.resolve("removals").toFile().list();
    }

    @Test
    void itsOwnFileGoesFirst() throws IOException {
        started().remove(disk(), () -> {
            assertThat(part).exists();
            deleteOwn();
        });
        assertThat(part).doesNotExist();
        assertThat(records()).isEmpty();
    }

    private void deleteOwn() {
        assertThat(own.toFile().delete()).isTrue();
    }

    @Test
    void whatACrashLeavesTheNextStartDeletes() throws IOException {
        assertThatThrownBy(() -> started().remove(disk(), () -> {
                    deleteOwn();
                    throw new Killed();
                }))
                .isInstanceOf(Killed.class);
        assertThat(part).exists();
        started().recover();
        assertThat(part).doesNotExist();
        assertThat(records()).isEmpty();
    }

    @Test
    void aDiskWhoseFileIsThereStillStaysWhole() throws IOException {
        assertThatThrownBy(() -> started().remove(disk(), () -> {
                    throw new Killed();
                }))
                .isInstanceOf(Killed.class);
        started().recover();
        assertThat(own).exists();
        assertThat(part).exists();
        assertThat(records()).isEmpty();
    }

    @Test
    void aFileThatCannotBeDeletedLeavesTheDiskAsItWas() throws IOException {
        assertThatThrownBy(() -> started().remove(disk(), () -> {
                    throw BlockError.of(ErrorKind.READ_ONLY, "store", "delete", "it is read-only")
                            .toException();
                }))
                .isInstanceOf(BlockException.class);
        assertThat(part).exists();
        assertThat(records()).isEmpty();
    }

    @Test
    void whatIsNotThatFileAnyMoreStays() throws IOException {
        assertThatThrownBy(() -> started().remove(disk(), () -> {
                    deleteOwn();
                    throw new Killed();
                }))
                .isInstanceOf(Killed.class);
        Files.move(part, part.resolveSibling("elsewhere"));
        Files.write(part, new byte[4096]);
        started().recover();
        assertThat(part).exists();
    }

    @Test
    void aStoreThatIsAwayIsLookedAtLater() throws IOException {
        assertThatThrownBy(() -> started().remove(disk(), () -> {
                    deleteOwn();
                    throw new Killed();
                }))
                .isInstanceOf(Killed.class);
        Path away = Files.move(store, store.resolveSibling("away"));
        started().recover();
        assertThat(records()).hasSize(1);
        Files.move(away, store);
        started().recover();
        assertThat(part).doesNotExist();
    }

    @Test
    void aFileThatAnotherNamesStays() throws IOException {
        Files.copy(own, own.resolveSibling("other.vmdk"));
        started().remove(disk(), this::deleteOwn);
        assertThat(part).exists();
    }
}
