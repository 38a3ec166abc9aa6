package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.datastore.Datastore;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.FlakyDevice.Mood;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.migration.chain.ChainStatus;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import dev.ferry.testkit.SmallDisk;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whatever fails while the chain of a disk is committed or streamed, it does not reach the guest, which works on what its overlay holds;
 * the disk reads the same, and the same job goes through when all is well again.
 */
@Timeout(240)
class ChainFaultTest {
    private static final int SIZE = 4 * World.MIB;
    /** Of the disk, from its beginning: the overlay holds it, so that the guest's changes take no room. */
    private static final int GUEST = World.MIB;

    private static final int PIECE = 256 << 10;
    private static final String NAME = "vm";
    private static final long HANGS_NANOS = 100_000_000_000L;

    @TempDir
    Path directory;

    private final EventLoops loops = EventLoops.start(1, EventLoops.Kind.AUTO);
    private final EventLoop events = loops.all().getFirst();
    private final DiskLoop loop = new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(64 * World.MIB));
    private final Stacks stacks = new Stacks(List.of(loop), this::open);
    private final List<FlakyDevice> bases = new CopyOnWriteArrayList<>();
    private final byte[] content = new byte[SIZE];
    private final byte[] guests = new byte[GUEST];
    private final OneDisk inventory = new OneDisk();

    @AfterEach
    void stop() throws IOException {
        loops.close();
    }

    private BlockDevice open(DiskLoop on, DiskSpec spec) throws BlockException {
        FileOptions options = new FileOptions(
                spec.readOnly(), spec.pastTheCache(), spec.format().grows());
        FlakyDevice file = new FlakyDevice(FileDevice.open(on.events(), spec.path(), spec.shownAs(), options));
        if (spec.path().endsWith("base")) {
            bases.add(file);
        }
        return file;
    }

    private void base(Mood mood) {
        bases.forEach(file -> file.mood = mood);
    }

    /** One disk; and where writing down that it has moved fails if it is asked to. */
    private static final class OneDisk implements Catalog {
        private DiskSpec spec = new DiskSpec(NAME, Path.of("vm.qcow2"), Provisioning.THIN, false, false);
        private volatile boolean fails;

        @Override
        public CatalogDisk disk(String name) {
            return new CatalogDisk("fast", spec.format().text(), spec);
        }

        @Override
        public Datastore datastore(String name) {
            throw new AssertionError(name);
        }

        @Override
        public void moved(String disk, String datastore, Path now, Provisioning provisioning) throws BlockException {
            if (fails) {
                throw BlockError.of(ErrorKind.IO, "inventory", "write", "the disk is full")
                        .toException();
            }
            ImageFormat format = now.toString().endsWith("raw") ? ImageFormat.RAW : ImageFormat.QCOW2;
            spec = spec.in(format).at(now, provisioning);
        }
    }

    /** A base with data in all but its last quarter; over it an overlay with what the guest works on, and some at the very end. */
    private OpenDisk chain(Path folder, ImageFormat format) throws Exception {
        Random random = new Random(format.name().length());
        DiskSpec base =
                new DiskSpec("base", Files.createFile(folder.resolve("base")), Provisioning.THIN, false, false, format);
        if (format == ImageFormat.RAW) {
            try (RandomAccessFile file = new RandomAccessFile(base.path().toFile(), "rw")) {
                file.setLength(SIZE);
            }
        }
        Images.format(loop, base, this::open, SIZE, Qcow2Shape.USUAL);
        BlockDevice below = Images.open(loop, base, this::open);
        for (int at = 0; at < SIZE * 3 / 4; at += PIECE) {
            write(below, at, random);
        }
        OnLoop.await(loop.loop(), below::close);
        Path top = Files.createFile(folder.resolve("vm.qcow2"));
        inventory.spec = new DiskSpec(NAME, top, Provisioning.THIN, false, false, ImageFormat.QCOW2);
        Images.format(loop, inventory.spec, this::open, SIZE, Qcow2Options.DEFAULT.withBacking("base", format.text()));
        OpenDisk disk = stacks.acquire(inventory.spec);
        for (int at = 0; at < GUEST; at += PIECE) {
            write(disk.front(), at, random);
        }
        write(disk.front(), SIZE - PIECE, random);
        disk.flush();
        System.arraycopy(content, 0, guests, 0, GUEST);
        return disk;
    }

    private void write(BlockDevice device, int at, Random random) throws BlockException {
        byte[] bytes = new byte[PIECE];
        random.nextBytes(bytes);
        System.arraycopy(bytes, 0, content, at, PIECE);
        IoBuffer buffer = IoBuffer.allocate(PIECE);
        buffer.copyFrom(bytes, 0, 0, PIECE);
        OnLoop.await(loop.loop(), done -> device.write(at, buffer, 0, PIECE, 0, done));
    }

    private void assertHolds(OpenDisk disk) throws BlockException {
        System.arraycopy(guests, 0, content, 0, GUEST);
        byte[] found = new byte[PIECE];
        IoBuffer buffer = IoBuffer.allocate(PIECE);
        for (int at = 0; at < SIZE; at += PIECE) {
            int offset = at;
            OnLoop.await(loop.loop(), done -> disk.front().read(offset, buffer, 0, PIECE, done));
            buffer.copyTo(0, found, 0, PIECE);
            assertThat(Arrays.mismatch(found, 0, PIECE, content, at, at + PIECE))
                    .as("from byte %d", at)
                    .isEqualTo(-1);
        }
    }

    private ChainJobs jobs(Path records) {
        return new ChainJobs(
                records,
                stacks,
                loop,
                this::open,
                inventory,
                disk -> {},
                path -> null,
                Thread.ofVirtual().factory());
    }

    private static void until(BooleanSupplier holds) {
        Awaitility.await("a job")
                .atMost(HANGS_NANOS, TimeUnit.NANOSECONDS)
                .pollInterval(5, TimeUnit.MILLISECONDS)
                .until(holds::getAsBoolean);
    }

    private static ChainStatus ended(ChainJobs jobs) {
        until(() -> jobs.find(NAME).orElseThrow().over() && jobs.isIdle());
        return jobs.find(NAME).orElseThrow();
    }

    private static ChainStatus start(ChainJobs jobs, String what, long bytesPerSecond) throws BlockException {
        return what.equals("commit")
                ? jobs.commit(NAME, null, 1, bytesPerSecond)
                : jobs.stream(NAME, null, bytesPerSecond);
    }

    @ParameterizedTest
    @ValueSource(strings = {"commit raw", "commit qcow2", "stream raw", "stream qcow2"})
    void aFileSystemThatIsFullEndsTheJobAndWithRoomItGoesThrough(String job) throws Exception {
        String what = job.substring(0, job.indexOf(' '));
        try (SmallDisk small = SmallDisk.of(directory, 24 * World.MIB)) {
            OpenDisk disk = chain(
                    small.path(),
                    ImageFormat.of(job.substring(what.length() + 1)).orElseThrow());
            ChainJobs jobs = jobs(directory.resolve("chains"));
            Guest guest = new Guest(disk, guests, 3).onlyWriting().start();
            guest.goOn(50);
            small.fill();
            for (int tried = 0; tried < 2; tried++) {
                start(jobs, what, 0);
                ChainStatus failed = ended(jobs);
                assertThat(failed.state()).isEqualTo("failed");
                assertThat(failed.problem())
                        .containsIgnoringCase("no space left")
                        .doesNotContain("\n");
                guest.goOn(50);
            }
            small.empty();
            start(jobs, what, 0);
            assertThat(ended(jobs).state()).as(jobs.list().toString()).isEqualTo("done");
            guest.goOn(50);
            guest.stop();
            assertHolds(disk);
            stacks.release(disk);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"commit", "stream"})
    void whereNoRecordCanBeWrittenNothingBegins(String what) throws Exception {
        OpenDisk disk = chain(directory, ImageFormat.RAW);
        try (SmallDisk small = SmallDisk.of(directory, World.MIB)) {
            ChainJobs jobs = jobs(small.path());
            small.fill();
            for (int tried = 0; tried < 2; tried++) {
                assertThatThrownBy(() -> start(jobs, what, 0)).hasMessageContaining("the job cannot be recorded");
            }
            assertThat(small.path().toFile().list()).containsExactly("filler");
            assertThat(jobs.list()).isEmpty();
            small.empty();
            start(jobs, what, 0);
            assertThat(ended(jobs).state()).isEqualTo("done");
            assertHolds(disk);
            stacks.release(disk);
        }
    }

    @Test
    void aCommitThatCannotBeDecidedIsUndoneUnderTheGuest() throws Exception {
        OpenDisk disk = chain(directory, ImageFormat.RAW);
        try (SmallDisk small = SmallDisk.of(directory, World.MIB)) {
            ChainJobs jobs = jobs(small.path());
            Guest guest = new Guest(disk, guests, 4).start();
            start(jobs, "commit", 64 << 10);
            until(() -> jobs.find(NAME).orElseThrow().doneBytes() > 0);
            small.fill();
            // That is not kept, and holds nonetheless.
            jobs.rate(NAME, 0);
            ChainStatus failed = ended(jobs);
            assertThat(failed.state()).isEqualTo("failed");
            assertThat(failed.problem()).contains("the job cannot be recorded");
            assertThat(small.path().toFile().list()).containsExactly("filler");
            guest.goOn(50);
            small.empty();
            start(jobs, "commit", 0);
            assertThat(ended(jobs).state()).isEqualTo("done");
            guest.goOn(50);
            guest.stop();
            assertHolds(disk);
            assertThat(inventory.spec.path()).isEqualTo(directory.resolve("vm.raw"));
            stacks.release(disk);
        }
    }

    @Test
    void aCommitThatTheInventoryDoesNotTakeIsBroughtToItsEndLater() throws Exception {
        OpenDisk disk = chain(directory, ImageFormat.RAW);
        ChainJobs jobs = jobs(directory.resolve("chains"));
        Guest guest = new Guest(disk, guests, 5).start();
        inventory.fails = true;
        start(jobs, "commit", 0);
        assertThat(ended(jobs).problem()).contains("the disk is full");
        guest.goOn(50);
        guest.stop();
        assertHolds(disk);
        stacks.release(disk);
        assertThatThrownBy(() -> jobs.beforeOpen(NAME)).isInstanceOf(BlockException.class);
        inventory.fails = false;
        jobs.beforeOpen(NAME);
        OpenDisk again = stacks.acquire(inventory.spec);
        assertHolds(again);
        stacks.release(again);
        assertThat(directory.resolve("vm.raw")).exists();
        assertThat(directory.resolve("vm.qcow2")).doesNotExist();
    }

    @Test
    void aBaseThatCannotBeReadEndsTheStreamAndNotTheGuest() throws Exception {
        OpenDisk disk = chain(directory, ImageFormat.QCOW2);
        ChainJobs jobs = jobs(directory.resolve("chains"));
        Guest guest = new Guest(disk, guests, 6).start();
        base(Mood.NO_READS);
        for (int tried = 0; tried < 2; tried++) {
            start(jobs, "stream", 0);
            ChainStatus failed = ended(jobs);
            assertThat(failed.state()).isEqualTo("failed");
            assertThat(failed.problem()).contains("input/output error");
            guest.goOn(50);
        }
        base(Mood.WELL);
        start(jobs, "stream", 0);
        assertThat(ended(jobs).state()).isEqualTo("done");
        guest.stop();
        assertHolds(disk);
        stacks.release(disk);
    }

    @Test
    void aBaseThatDoesNotAnswerHoldsTheStreamAndNotTheGuest() throws Exception {
        OpenDisk disk = chain(directory, ImageFormat.RAW);
        ChainJobs jobs = jobs(directory.resolve("chains"));
        Guest guest = new Guest(disk, guests, 7).start();
        base(Mood.SILENT);
        start(jobs, "stream", 0);
        until(() -> bases.stream().anyMatch(file -> file.withoutAnswer() > 0));
        guest.goOn(50);
        jobs.cancel(NAME);
        guest.goOn(50);
        assertThat(jobs.find(NAME).orElseThrow().over())
                .as("what it began is not at its end")
                .isFalse();
        wakeUp();
        assertThat(ended(jobs).state()).isEqualTo("cancelled");
        base(Mood.SILENT);
        start(jobs, "stream", 0);
        until(() -> bases.stream().anyMatch(file -> file.withoutAnswer() > 0));
        guest.goOn(50);
        wakeUp();
        assertThat(ended(jobs).state()).isEqualTo("done");
        guest.goOn(50);
        guest.stop();
        assertHolds(disk);
        stacks.release(disk);
    }

    private void wakeUp() throws BlockException {
        OnLoop.run(loop.loop(), () -> bases.forEach(FlakyDevice::wakeUp));
    }
}
