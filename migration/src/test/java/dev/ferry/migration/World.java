package dev.ferry.migration;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.NewDisk;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.device.ReactorLoop;
import dev.ferry.filter.Delay;
import dev.ferry.filter.mirror.MirrorSettings;
import dev.ferry.filter.mirror.StepSettings;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.copy.CopierSettings;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.FileJournals;
import dev.ferry.migration.journal.Journal;
import dev.ferry.migration.journal.Journals;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.reactor.EventLoop;
import dev.ferry.reactor.EventLoops;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Two datastores, an inventory and a journal on a real file system, which outlive the process; and a process, with
 * loops, stacks and an engine, that can be cut off at any record of its journal and booted again.
 */
final class World implements Catalog, AutoCloseable {
    static final int MIB = 1 << 20;

    final Path directory;
    private final Map<String, Datastore> datastores = new HashMap<>();
    private final Map<String, CatalogDisk> disks = new ConcurrentHashMap<>();
    /** Files that are open, by path as they were opened. */
    private final Map<String, FlakyDevice> files = new ConcurrentHashMap<>();

    private final List<FlakyDevice> open = new ArrayList<>();
    volatile boolean inventoryFails;
    /** Fails the append of the record that decides, on the way there or on the way back. */
    volatile boolean decisionFails;

    volatile boolean rewriteFails;

    final AtomicInteger recordsUntilPowerCut = new AtomicInteger(Integer.MAX_VALUE);
    /** Of the last record that was written before the power cut. */
    volatile Phase lastPhase = Phase.PREPARE;

    /** Told of each record when it is durable, by the thread of the move. */
    volatile Consumer<MoveRecord> whenWritten = record -> {};

    /** Every bound that a carrier was given, such as {@code vm1 1024}. */
    final List<String> rates = new CopyOnWriteArrayList<>();

    /** How the files of rehearsals behave. */
    volatile FlakyDevice.Mood trials = FlakyDevice.Mood.WELL;

    /** Told of each file before it is opened, by whoever opens it. */
    volatile Consumer<Path> whenOpening = file -> {};

    /** How far away targets are that are opened from now on. */
    volatile long targetDelayNanos;

    boolean direct;
    /** A target is given up after so long that no busy machine is taken for one that hangs. */
    MirrorSettings mirror = withStallMax(Duration.ofSeconds(30));

    static final int REGION_BYTES = 64 << 10;

    /** Small regions, so that small disks have many. */
    static MirrorSettings withStallMax(Duration stallMax) {
        return new MirrorSettings(REGION_BYTES, stallMax.toNanos(), true);
    }

    /** Another one, and what was in memory is not believed any more. */
    String boot = "boot 1";

    String host = "this host";
    int threads = 1;
    long roundNanosMin = CarrierSettings.ROUND_NANOS_MIN;
    StepSettings steps = new StepSettings(20_000_000L, 100_000_000L, 1);

    /** By default a test resumes by hand. */
    Probing probing = new Probing(3_600_000_000_000L, 3_600_000_000_000L);

    private @Nullable CutJournals alive;
    private EventLoops loops;
    Stacks stacks;
    MigrationEngine engine;

    World(Path directory) throws IOException {
        this.directory = directory;
        for (String name : List.of("slow", "fast", "third")) {
            datastores.put(name, Datastore.open(name, Files.createDirectories(directory.resolve(name))));
        }
        loops = EventLoops.start(threads, EventLoops.Kind.AUTO);
        stacks = stacksOf(loops);
        engine = engineOf(stacks);
    }

    /** The process dies, and another starts. */
    void reboot() throws IOException {
        die();
        start();
    }

    private void start() throws IOException {
        loops = EventLoops.start(threads, EventLoops.Kind.AUTO);
        stacks = stacksOf(loops);
        engine = engineOf(stacks);
    }

    /** What the journal says from now on is not believed. */
    void powerFails() {
        inventoryFails = true;
    }

    /** The process dies with the host. */
    void powerOff() {
        die();
    }

    /** The host is back, with its file systems, and another process starts. */
    void powerOn(String newBoot) throws IOException {
        boot = newBoot;
        inventoryFails = false;
        for (String name : List.copyOf(datastores.keySet())) {
            datastores.put(name, Datastore.open(name, directory.resolve(name)));
        }
        start();
    }

    private void die() {
        Objects.requireNonNull(alive).dead = true;
        while (!storesAtRest()) {
            LockSupport.parkNanos(1_000_000);
        }
        loops.close();
        synchronized (open) {
            open.forEach(file -> file.close(error -> {}));
            open.clear();
        }
        files.clear();
    }

    private boolean storesAtRest() {
        synchronized (open) {
            boolean atRest = true;
            for (FlakyDevice file : open) {
                atRest &= file.endStoreCopies();
            }
            return atRest;
        }
    }

    @Override
    public void close() {
        die();
    }

    private Stacks stacksOf(EventLoops started) {
        List<DiskLoop> diskLoops = new ArrayList<>();
        for (EventLoop events : started.all()) {
            diskLoops.add(new DiskLoop(events, new ReactorLoop(events), BufferPool.ofBytes(64 * MIB)));
        }
        return new Stacks(diskLoops, (loop, spec) -> {
            whenOpening.accept(spec.path());
            FileDevice file = FileDevice.open(
                    loop.events(),
                    spec.path(),
                    spec.shownAs(),
                    new FileOptions(
                            spec.readOnly(), spec.pastTheCache(), spec.format().grows()));
            boolean late = targetDelayNanos > 0
                    && !spec.format().grows()
                    && spec.path().getFileName().toString().endsWith(".partial");
            FlakyDevice flaky = new FlakyDevice(late ? delayed(loop, file) : file);
            if (spec.path().getFileName().toString().endsWith(".trial")) {
                flaky.mood = trials;
            }
            files.put(spec.path().getFileName().toString(), flaky);
            Path folder = Objects.requireNonNull(spec.path().getParent());
            files.put(spec.path().getFileName() + " " + folder.getFileName(), flaky);
            synchronized (open) {
                open.add(flaky);
            }
            return flaky;
        });
    }

    private Delay delayed(DiskLoop loop, FileDevice file) {
        Delay late = new Delay(loop.loop(), file, new Random(1));
        late.delay(targetDelayNanos, 0);
        return late;
    }

    private MigrationEngine engineOf(Stacks on) throws IOException {
        Carrier.Factory carriers = (disk, events, strategy, layered) -> writingDownRates(
                disk.name(),
                new CarrierSettings(
                                mirror,
                                regions -> steps,
                                new CopierSettings(4, 64 << 10, 0),
                                Thread::startVirtualThread,
                                roundNanosMin)
                        .factory()
                        .of(disk, events, strategy, layered));
        CutJournals journals = new CutJournals(new FileJournals(directory.resolve("journal")));
        alive = journals;
        StepFiles records = new StepFiles(directory.resolve("journal"), boot);
        MoveWork.Surroundings around = new MoveWork.Surroundings(
                on,
                this,
                carriers,
                records,
                Thread::startVirtualThread,
                System::nanoTime,
                probing,
                new Receipts(directory.resolve("journal")));
        return new MigrationEngine(
                journals,
                around,
                host,
                InstantSource.system(),
                Thread.ofVirtual().factory());
    }

    private Carrier writingDownRates(String disk, Carrier real) {
        return (Carrier) Proxy.newProxyInstance(
                World.class.getClassLoader(), new Class<?>[] {Carrier.class}, (self, method, arguments) -> {
                    if (method.getName().equals("rate")) {
                        rates.add(disk + " " + arguments[0]);
                    }
                    try {
                        return method.invoke(real, arguments);
                    } catch (InvocationTargetException refused) {
                        throw refused.getCause();
                    }
                });
    }

    /** Adds a datastore. */
    void add(String name, Path path) throws BlockException {
        datastores.put(name, Datastore.open(name, path));
    }

    // ---- disks

    /** Makes a disk with data in some of it. */
    byte[] disk(String name, int sizeBytes, Provisioning provisioning, long seed) throws IOException {
        NewDisk made = datastore("slow").create(name, "raw", sizeBytes);
        made.publish();
        byte[] content = new byte[sizeBytes];
        Random random = new Random(seed);
        try (FileChannel channel = FileChannel.open(made.file(), StandardOpenOption.WRITE)) {
            for (int from = 0; from < sizeBytes; from += 512 << 10) {
                byte[] piece = new byte[Math.min(256 << 10, sizeBytes - from)];
                random.nextBytes(piece);
                channel.write(ByteBuffer.wrap(piece), from);
                System.arraycopy(piece, 0, content, from, piece.length);
            }
        }
        DiskSpec spec = new DiskSpec(name, made.file(), provisioning, false, direct);
        disks.put(name, new CatalogDisk("slow", "raw", spec.sized(sizeBytes)));
        return content;
    }

    /** Has a file in datastore slow known as a disk. */
    void know(DiskSpec spec) {
        disks.put(spec.name(), new CatalogDisk("slow", spec.format().text(), spec));
    }

    @Override
    public boolean isDisk(Path file) {
        return disks.values().stream().anyMatch(disk -> disk.spec().path().equals(file));
    }

    OpenDisk openDisk(String name) throws BlockException {
        return stacks.acquire(disk(name).spec());
    }

    Path path(String name) throws BlockException {
        return disk(name).spec().path();
    }

    /** A file that is open, under the name that it was opened by; or that name and its datastore's. */
    FlakyDevice file(String name) {
        return Objects.requireNonNull(files.get(name));
    }

    List<String> names(String datastore) {
        String[] names = directory.resolve(datastore).toFile().list();
        return names == null ? List.of() : List.of(names);
    }

    // ---- the inventory

    @Override
    public CatalogDisk disk(String name) throws BlockException {
        CatalogDisk disk = disks.get(name);
        if (disk == null) {
            throw BlockError.of(ErrorKind.NOT_FOUND, "disk " + name, "find", "there is none of that name")
                    .toException();
        }
        return disk;
    }

    @Override
    public Datastore datastore(String name) throws BlockException {
        Datastore datastore = datastores.get(name);
        if (datastore == null) {
            throw BlockError.of(ErrorKind.NOT_FOUND, "datastore " + name, "find", "there is none of that name")
                    .toException();
        }
        return datastore;
    }

    @Override
    public void moved(String name, String datastore, Path path, Provisioning provisioning) throws BlockException {
        if (inventoryFails) {
            throw BlockError.of(ErrorKind.IO, "inventory", "write", "the disk is full")
                    .toException();
        }
        String file = path.toString();
        String format = file.substring(file.lastIndexOf('.') + 1);
        DiskSpec spec =
                disk(name).spec().in(ImageFormat.of(format).orElseThrow()).at(path, provisioning);
        disks.put(name, new CatalogDisk(datastore, format, spec));
    }

    /** The power goes off. Not an exception that anything would handle. */
    static final class PowerCut extends Error {
        private static final long serialVersionUID = 1L;
    }

    boolean isCut() {
        return recordsUntilPowerCut.get() <= 0;
    }

    /** Journals that write so many records, and then nothing happens any more. */
    private final class CutJournals implements Journals {
        private final Journals real;
        /** Its process is gone: no thread of it that is left over does anything any more. */
        volatile boolean dead;

        CutJournals(Journals real) {
            this.real = real;
        }

        private void spend() {
            if (dead || recordsUntilPowerCut.get() <= 0) {
                throw new PowerCut();
            }
        }

        private Journal counted(Journal journal) {
            spend();
            return new Journal() {
                @Override
                public void append(MoveRecord record) throws IOException {
                    spend();
                    boolean there = record.disks().getFirst().authority() == Authority.TARGET;
                    if (decisionFails && record.phase() == (there ? Phase.SWITCH : Phase.ROLLBACK)) {
                        throw new IOException("the disk of the journal is full");
                    }
                    journal.append(record);
                    lastPhase = record.phase();
                    whenWritten.accept(record);
                    recordsUntilPowerCut.decrementAndGet();
                    spend();
                }

                @Override
                public void close() throws IOException {
                    spend();
                    journal.close();
                }
            };
        }

        @Override
        public Journal create(MoveRecord first) throws IOException {
            Journal journal = real.create(first);
            recordsUntilPowerCut.decrementAndGet();
            return counted(journal);
        }

        @Override
        public Journal rewrite(MoveRecord record) throws IOException {
            if (rewriteFails) {
                throw new IOException("the disk of the journal is full");
            }
            Journal journal = real.rewrite(record);
            recordsUntilPowerCut.decrementAndGet();
            return counted(journal);
        }

        @Override
        public Journal reopen(Found found) throws IOException {
            return counted(real.reopen(found));
        }

        @Override
        public List<Found> all() throws IOException {
            return real.all();
        }

        @Override
        public void delete(String id) throws IOException {
            real.delete(id);
        }
    }
}
