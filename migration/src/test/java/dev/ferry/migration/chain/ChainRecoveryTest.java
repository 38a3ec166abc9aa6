package dev.ferry.migration.chain;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.Catalog;
import dev.ferry.migration.chain.ChainRecord.Kind;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.PartRecord;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a crash left of a commit that had been decided is brought to its end, whichever of its steps had been done. */
class ChainRecoveryTest {
    @TempDir
    Path directory;

    private final EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
    private final EventLoop events = loops.all().getFirst();

    @AfterEach
    void stop() throws IOException {
        loops.close();
    }

    /** One disk, whose file moves; and where writing that down fails if it is asked to. */
    private final class OneDisk implements Catalog {
        private Path path = directory.resolve("vm.qcow2");
        private boolean fails;

        @Override
        public CatalogDisk disk(String name) {
            ImageFormat format = path.toString().endsWith("raw") ? ImageFormat.RAW : ImageFormat.QCOW2;
            DiskSpec spec = new DiskSpec(name, path, Provisioning.THIN, false, false, format);
            return new CatalogDisk("fast", format.text(), spec);
        }

        @Override
        public Datastore datastore(String name) {
            throw new AssertionError(name);
        }

        @Override
        public void moved(String disk, String datastore, Path now, Provisioning provisioning) throws BlockException {
            if (fails) {
                throw BlockError.of(ErrorKind.IO, "inventory", "write", "no").toException();
            }
            path = now;
        }
    }

    private ChainJobs jobs(Catalog catalog) {
        return new ChainJobs(
                directory.resolve("chains"),
                new Stacks(List.of(), (loop, spec) -> {
                    throw new AssertionError("opened");
                }),
                new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(1 << 20)),
                (loop, spec) -> {
                    throw new AssertionError("opened");
                },
                catalog,
                disk -> {},
                path -> null,
                Thread::new);
    }

    private ChainRecord decided(String format, PartRecord... records) throws IOException {
        List<PartRecord> parts = List.of(records);
        Files.createDirectories(directory.resolve("chains"));
        Path top = Files.writeString(directory.resolve("vm.qcow2"), "top");
        Path between = Files.writeString(directory.resolve("monday.qcow2"), "between");
        Path base = Files.writeString(directory.resolve("golden"), "base");
        ChainRecord record = new ChainRecord(
                        "vm", Kind.COMMIT, top, base, format, List.of(between), parts, 1 << 20, false)
                .asDecided();
        record.write(directory.resolve("chains"));
        assertThat(ChainRecord.all(directory.resolve("chains"))).containsExactly(record);
        return record;
    }

    @ParameterizedTest
    @CsvSource({"raw, 0", "raw, 1", "raw, 2", "raw, 3", "raw, 4", "qcow2, 0", "qcow2, 1", "qcow2, 4"})
    void fromEveryStep(String format, int done) throws Exception {
        ChainRecord record = decided(format);
        OneDisk disk = new OneDisk();
        Path named = directory.resolve("vm." + format);
        if (done >= 1) {
            Files.move(directory.resolve("golden"), named, StandardCopyOption.REPLACE_EXISTING);
        }
        if (done >= 2) {
            disk.path = named;
        }
        if (done >= 3 && format.equals("raw")) {
            Files.delete(record.top());
        }
        if (done >= 4) {
            Files.delete(directory.resolve("monday.qcow2"));
        }
        ChainJobs jobs = jobs(disk);
        jobs.recover();
        assertThat(disk.path).isEqualTo(named).hasContent("base");
        try (Stream<Path> files = Files.list(directory)) {
            assertThat(files.map(path -> path.getFileName().toString()))
                    .containsExactlyInAnyOrder("vm." + format, "chains");
        }
        assertThat(ChainRecord.all(directory.resolve("chains"))).isEmpty();
        assertThat(jobs.find("vm").orElseThrow().state()).isEqualTo("done");
    }

    @Test
    void whatCannotBeBroughtToItsEndKeepsTheDiskFromBeingOpened() throws Exception {
        decided("raw");
        OneDisk disk = new OneDisk();
        disk.fails = true;
        assertThatThrownBy(() -> jobs(disk).recover()).isInstanceOf(BlockException.class);
        disk.fails = false;
        jobs(disk).recover();
        assertThat(disk.path).hasContent("base");
    }

    @Test
    void aRecordKeepsThePartsOfItsLayers() throws Exception {
        ChainRecord record = decided("raw", new PartRecord("/store/monday.data", "1:2"), new PartRecord("/x", "3"));
        assertThat(record.parts()).hasSize(2);
    }

    @Test
    void aDamagedRecordIsAClearError() throws Exception {
        Path chains = Files.createDirectories(directory.resolve("chains"));
        for (String text :
                List.of("", "disk=vm", "disk=vm\nkind=nonsense\ntop=/x", "disk=vm\nkind=commit\ntop=/x\nrate=y")) {
            Files.writeString(chains.resolve("vm.job"), text);
            assertThatThrownBy(() -> ChainRecord.all(chains))
                    .isInstanceOf(IOException.class)
                    .hasMessageContaining("is damaged");
        }
    }
}
