package dev.ferry.migration.chain;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.Catalog;
import dev.ferry.stack.Chain;
import dev.ferry.stack.Commit;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.PartRecord;
import dev.ferry.stack.Stacks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All jobs on the chains of disks: at most one for each disk. Those that a crash has interrupted go on with {@link #goOn}; those that are
 * over are known until the process ends.
 *
 * <p>Thread: any.
 */
public final class ChainJobs {
    private static final Logger LOG = LoggerFactory.getLogger(ChainJobs.class);

    /** What is asked of others before a disk is opened. */
    @FunctionalInterface
    public interface BeforeOpen {
        void of(String disk) throws BlockException;
    }

    private record Running(ChainJob job, CountDownLatch over) {}

    private final Path directory;
    private final Stacks stacks;
    private final DiskLoop loop;
    private final FileOpener opener;
    private final Catalog catalog;
    private final BeforeOpen beforeOpen;
    private final Function<Path, @Nullable String> owner;
    private final ThreadFactory threads;
    private final Host host = new Host();
    private final Map<String, ChainJob> known = new LinkedHashMap<>();
    private final Map<String, Running> running = new LinkedHashMap<>();
    private final List<ChainRecord> interrupted = new ArrayList<>();

    /**
     * @param directory where their records are kept
     * @param loop on which files are looked at that are not in use
     * @param owner the disk whose own file this is; null if it is none's
     */
    public ChainJobs(
            Path directory,
            Stacks stacks,
            DiskLoop loop,
            FileOpener opener,
            Catalog catalog,
            BeforeOpen beforeOpen,
            Function<Path, @Nullable String> owner,
            ThreadFactory threads) {
        this.directory = directory;
        this.stacks = stacks;
        this.loop = loop;
        this.opener = opener;
        this.catalog = catalog;
        this.beforeOpen = beforeOpen;
        this.owner = owner;
        this.threads = threads;
    }

    // ---- starting

    /**
     * Begins to put what the upper layers of a disk hold into one below them.
     *
     * @param into that layer's file, or its name beside the disk's; null: by {@code depth}
     * @param depth 1 is the layer just below the top
     */
    public ChainStatus commit(String disk, @Nullable String into, int depth, long bytesPerSecond)
            throws BlockException {
        DiskSpec spec = catalog.disk(disk).spec();
        Chain chain = Chain.of(loop, spec, opener);
        int chosen = into == null ? depth : find(chain, spec, into);
        if (chain.depth() > 0 && (chosen < 1 || chosen > chain.depth())) {
            throw refusal(disk, "commit", "its chain has layers 1 to " + chain.depth() + " below it, and no " + chosen);
        }
        Commit.check(chain, chosen, false);
        List<Path> between = new ArrayList<>();
        List<PartRecord> parts = new ArrayList<>(stacks.partRecords(spec));
        for (int i = 1; i <= chosen; i++) {
            Path layer = chain.layers().get(i).path();
            String whose = owner.apply(layer);
            if (whose != null) {
                throw refusal(disk, "commit", layer + " is disk " + whose + ", which would be changed");
            }
            if (i < chosen) {
                between.add(layer);
                parts.addAll(stacks.partRecords(chain.layers().get(i).spec()));
            }
        }
        Chain.Layer base = chain.layers().get(chosen);
        if (base.sizeBytes() > chain.top().sizeBytes()) {
            throw refusal(disk, "commit", base.path() + " is longer than the disk, whose size would change");
        }
        ChainRecord record = new ChainRecord(
                disk,
                ChainRecord.Kind.COMMIT,
                spec.path(),
                base.path(),
                base.spec().format().text(),
                between,
                parts,
                bytesPerSecond,
                false);
        refuseUnlessNameable(record);
        return begin(record);
    }

    private static void refuseUnlessNameable(ChainRecord record) throws BlockException {
        Path base = Objects.requireNonNull(record.base());
        Path named = nameOf(record);
        try {
            if (!Files.getFileStore(base).equals(Files.getFileStore(record.top()))) {
                throw refusal(record.disk(), "commit", base + " is on another file system");
            }
        } catch (IOException unseen) {
            throw refusal(record.disk(), "commit", String.valueOf(unseen.getMessage()));
        }
        if (!named.equals(record.top()) && !sameFile(named, base) && Files.exists(named)) {
            throw refusal(
                    record.disk(), "commit", "there is a file " + named + " already, as the disk's would be called");
        }
    }

    private static boolean sameFile(Path one, Path other) {
        try {
            return Files.exists(one) && Files.isSameFile(one, other);
        } catch (IOException unseen) {
            return false;
        }
    }

    /**
     * Begins to have a disk take over what lies below it.
     *
     * @param from the layer that stays below it, or its name beside the disk's; null: none does
     */
    public ChainStatus stream(String disk, @Nullable String from, long bytesPerSecond) throws BlockException {
        DiskSpec spec = catalog.disk(disk).spec();
        Chain chain = Chain.of(loop, spec, opener);
        if (chain.depth() == 0) {
            throw refusal(disk, "stream", "it has no backing file");
        }
        if (spec.format() != ImageFormat.QCOW2) {
            throw refusal(
                    disk,
                    "stream",
                    "a delta in format " + spec.format().text() + " is not streamed into; a move makes one disk of it");
        }
        @Nullable Path base = null;
        @Nullable String format = null;
        if (from != null) {
            Chain.Layer layer = chain.layers().get(find(chain, spec, from));
            base = layer.path();
            format = layer.spec().format().text();
        }
        return begin(new ChainRecord(
                disk, ChainRecord.Kind.STREAM, spec.path(), base, format, List.of(), List.of(), bytesPerSecond, false));
    }

    private static int find(Chain chain, DiskSpec spec, String named) throws BlockException {
        Path path = spec.path().resolveSibling(named).normalize();
        for (int i = 1; i <= chain.depth(); i++) {
            Path layer = chain.layers().get(i).path();
            if (layer.equals(path) || sameFile(path, layer)) {
                return i;
            }
        }
        throw refusal(spec.name(), "look", named + " is none of the files below it; 'ferry disk show' lists them");
    }

    private static BlockException refusal(String disk, String what, String why) {
        return BlockError.of(ErrorKind.INVALID, "disk " + disk, what, why).toException();
    }

    private synchronized ChainStatus begin(ChainRecord record) throws BlockException {
        refuseIfBusy(record.disk());
        try {
            Files.createDirectories(directory);
            record.write(directory);
        } catch (IOException failed) {
            throw BlockError.of(
                            ErrorKind.IO,
                            "disk " + record.disk(),
                            record.kind().text(),
                            "the job cannot be recorded: " + failed.getMessage())
                    .toException();
        }
        return start(record);
    }

    private synchronized ChainStatus start(ChainRecord record) {
        ChainJob job = new ChainJob(host, record);
        Running now = new Running(job, new CountDownLatch(1));
        known.remove(record.disk());
        known.put(record.disk(), job);
        running.put(record.disk(), now);
        threads.newThread(() -> {
                    job.run();
                    now.over().countDown();
                })
                .start();
        return job.status();
    }

    // ---- looking, steering

    /** @throws BlockException if the chain of a disk is being changed */
    public synchronized void refuseIfBusy(String disk) throws BlockException {
        boolean waits = interrupted.stream().anyMatch(record -> record.disk().equals(disk));
        if (waits || running.containsKey(disk)) {
            throw BlockError.of(
                            ErrorKind.BUSY,
                            "disk " + disk,
                            "use",
                            "its chain is being changed; wait for that, or 'ferry disk job cancel " + disk + "'")
                    .toException();
        }
    }

    public synchronized List<ChainStatus> list() {
        return known.values().stream().map(ChainJob::status).toList();
    }

    /** The last job of a disk. */
    public synchronized Optional<ChainStatus> find(String disk) {
        return Optional.ofNullable(known.get(disk)).map(ChainJob::status);
    }

    public ChainStatus cancel(String disk) throws BlockException {
        ChainJob job = atWork(disk);
        job.cancel();
        return job.status();
    }

    /** @param bytesPerSecond 0: no bound */
    public ChainStatus rate(String disk, long bytesPerSecond) throws BlockException {
        ChainJob job = atWork(disk);
        job.rate(bytesPerSecond);
        return job.status();
    }

    private synchronized ChainJob atWork(String disk) throws BlockException {
        Running now = running.get(disk);
        if (now == null) {
            throw BlockError.of(ErrorKind.NOT_FOUND, "disk " + disk, "steer", "no job is changing its chain")
                    .toException();
        }
        return now.job();
    }

    // ---- over restarts

    /**
     * Brings to their end the commits that had been decided, before any disk is opened; the others go on with {@link #goOn}.
     *
     * @throws IOException if a record cannot be read: nothing may be opened then
     */
    public synchronized void recover() throws IOException, BlockException {
        for (ChainRecord record : ChainRecord.all(directory)) {
            if (record.decided()) {
                Path named = host.rename(record);
                record.delete(directory);
                known.put(record.disk(), ChainJob.brought(host, record));
                LOG.info("disk {} has been committed into what is {} now", record.disk(), named);
            } else {
                interrupted.add(record);
            }
        }
    }

    /** To be called before a disk is opened: brings to its end a commit that was decided, and whose names could not follow then. */
    public synchronized void beforeOpen(String disk) throws BlockException {
        for (ChainRecord record : List.copyOf(interrupted)) {
            if (record.decided() && record.disk().equals(disk)) {
                try {
                    Path _ = host.rename(record);
                    record.delete(directory);
                } catch (IOException failed) {
                    throw BlockError.of(ErrorKind.IO, "disk " + disk, "open", "its commit is not at its end: " + failed)
                            .toException();
                }
                interrupted.remove(record);
            }
        }
    }

    /** Begins anew what a crash or a restart has interrupted. */
    public synchronized void goOn() {
        List<ChainRecord> again = List.copyOf(interrupted);
        interrupted.clear();
        again.forEach(record -> {
            LOG.info("the {} of disk {} goes on", record.kind().text(), record.disk());
            ChainStatus _ = start(record);
        });
    }

    /**
     * The process is about to end, and clients are gone: what is under way stops, and goes on with the next one.
     *
     * @param limit how long to wait for each
     */
    public void suspend(Duration limit) {
        List<Running> now;
        synchronized (this) {
            now = List.copyOf(running.values());
        }
        now.forEach(one -> one.job().suspend());
        for (Running one : now) {
            try {
                boolean _ = one.over().await(limit.toNanos(), TimeUnit.NANOSECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return;
            }
        }
    }

    /** True while no job has a thread at work. */
    public synchronized boolean isIdle() {
        return running.isEmpty();
    }

    private static Path nameOf(ChainRecord record) {
        Path top = record.top();
        String name = String.valueOf(top.getFileName());
        int dot = name.lastIndexOf('.');
        return top.resolveSibling((dot < 0 ? name : name.substring(0, dot)) + "." + record.baseFormat());
    }

    private final class Host implements ChainHost {
        @Override
        public Path directory() {
            return directory;
        }

        @Override
        public FileOpener opener() {
            return opener;
        }

        @Override
        public OpenDisk acquire(String disk) throws BlockException {
            beforeOpen.of(disk);
            return stacks.acquire(catalog.disk(disk).spec());
        }

        @Override
        public void release(OpenDisk disk) throws BlockException {
            stacks.release(disk);
        }

        @Override
        public Path rename(ChainRecord record) throws BlockException, IOException {
            Path base = Objects.requireNonNull(record.base());
            Path named = nameOf(record);
            if (Files.exists(base) && !sameFile(base, named)) {
                Files.move(base, named, StandardCopyOption.ATOMIC_MOVE);
            }
            Path folder = Objects.requireNonNull(named.getParent());
            ChainRecord.sync(folder);
            if (!named.equals(record.top())) {
                Catalog.CatalogDisk disk = catalog.disk(record.disk());
                catalog.moved(
                        record.disk(), disk.datastore(), named, disk.spec().provisioning());
                Files.deleteIfExists(record.top());
            }
            for (Path layer : record.between()) {
                Files.deleteIfExists(layer);
            }
            if (!record.parts().isEmpty()) {
                ChainRecord.sync(folder); // the files that name them are gone before they go
                stacks.deleteParts(record.parts(), folder, catalog::isDisk);
            }
            return named;
        }

        @Override
        public void ended(ChainJob job) {
            synchronized (ChainJobs.this) {
                running.remove(job.record().disk());
                if (job.record().decided() && job.status().state().equals("failed")) {
                    interrupted.add(job.record());
                }
            }
        }
    }
}
