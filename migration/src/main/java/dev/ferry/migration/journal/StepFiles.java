package dev.ferry.migration.journal;

import dev.ferry.block.Loop;
import dev.ferry.migration.journal.StepLayout.Head;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Records of regions in step, in files beside the journals: {@code m7-0.map} and {@code m7-0.live} are those of the first
 * disk of migration {@code m7} ({@link StepLayout}). Thread: any, one at a time for each record. Calls block.
 */
public final class StepFiles {
    private static final String FIRM = ".map";
    private static final String LIVE = ".live";
    private static final String NEW = ".new";

    private final Path directory;
    private final String boot;

    /**
     * @param directory that of the journals, which is there
     * @param boot names the time since the system was started; empty if nobody knows, and then no live map is believed
     */
    public StepFiles(Path directory, String boot) {
        this.directory = directory;
        this.boot = boot;
    }

    /** What a start finds. */
    public static final class Found {
        private final long[] inStep;
        private final long[] firm;
        private final boolean sameBoot;
        private final long againRegions;
        private final @Nullable String trouble;
        private final long generation;

        Found(
                long[] inStep,
                long[] firm,
                boolean sameBoot,
                long againRegions,
                @Nullable String trouble,
                long generation) {
            this.inStep = inStep;
            this.firm = firm;
            this.sameBoot = sameBoot;
            this.againRegions = againRegions;
            this.trouble = trouble;
            this.generation = generation;
        }

        /** Regions that are in step, 64 to a word; the caller's own. */
        public long[] inStep() {
            return inStep.clone();
        }

        /** Those of them that are so whatever happens; the caller's own. */
        public long[] firm() {
            return firm.clone();
        }

        /** True if the system has not been started anew since. */
        public boolean sameBoot() {
            return sameBoot;
        }

        /** Regions that had been copied and have to be copied again; -1 if nobody knows. */
        public long againRegions() {
            return againRegions;
        }

        /** What is wrong with the record, and is therefore not counted as in step; null if nothing is. */
        public @Nullable String trouble() {
            return trouble;
        }

        public long keptRegions() {
            long kept = 0;
            for (long word : inStep) {
                kept += Long.bitCount(word);
            }
            return kept;
        }
    }

    /**
     * Reads a record. Whatever is wrong with it is said in what is given back, and nothing is in step then.
     *
     * @param throughout every change that has ended, on either side, outlives the process; if not, only what was flushed
     *     is counted on
     * @param target where it may say that the record is not true
     */
    public Found read(StepKey key, boolean throughout, Path target) {
        if (Disowned.is(target, key)) {
            return refused(key, "the record of what was copied could not be kept in time");
        }
        return read(key, throughout);
    }

    private Found read(StepKey key, boolean throughout) {
        try {
            return readFirm(key, throughout);
        } catch (NoSuchFileException e) {
            return refused(key, "the record of what was copied is gone");
        } catch (IOException e) {
            return refused(key, "the record of what was copied cannot be read: " + e.getMessage());
        }
    }

    /** What there is before anything has been copied. */
    public static Found nothing(StepKey key) {
        int words = StepLayout.words(key.regions());
        return new Found(new long[words], new long[words], true, 0, null, 0);
    }

    /**
     * What there is where two sides are equal.
     *
     * @param firm regions that are to count as equal whatever happens
     */
    public static Found inStep(StepKey key, long[] firm) {
        int words = StepLayout.words(key.regions());
        long[] all = new long[words];
        Arrays.fill(all, -1L);
        clearBeyond(all, key.regions());
        return new Found(all, firm.clone(), true, 0, null, 0);
    }

    /** What there is when the record is not to be believed. */
    static Found refused(StepKey key, String why) {
        int words = StepLayout.words(key.regions());
        return new Found(new long[words], new long[words], false, -1, why, 0);
    }

    private Found readFirm(StepKey key, boolean throughout) throws IOException {
        int words = StepLayout.words(key.regions());
        int blocks = StepLayout.blocks(words);
        try (FileChannel channel = FileChannel.open(firmOf(key), StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            Head head = null;
            for (int i = 0; i < StepLayout.HEADS; i++) {
                ByteBuffer sector = sector(channel, (long) i * StepLayout.SECTOR_BYTES);
                if (StepLayout.isOtherVersion(sector, StepLayout.FIRM_MAGIC)) {
                    return refused(key, "the record of what was copied is of another version of Ferry");
                }
                Head one = StepLayout.head(sector, StepLayout.FIRM_MAGIC);
                if (one != null && (head == null || one.generation > head.generation)) {
                    head = one;
                }
            }
            if (head == null) {
                return refused(key, "the record of what was copied is damaged");
            }
            if (!Arrays.equals(head.digest, key.digest())
                    || head.sizeBytes != key.sizeBytes()
                    || head.regionBytes != key.regionBytes()) {
                return refused(key, "the record of what was copied was made for other files");
            }
            long[] firm = new long[words];
            int damaged = 0;
            for (int block = 0; block < blocks; block++) {
                ByteBuffer sector = sector(channel, StepLayout.blockOffset(block));
                damaged += StepLayout.take(sector, block, firm, head.digest) ? 0 : 1;
            }
            clearBeyond(firm, key.regions());
            String trouble = damaged == 0 ? null : damaged + " of " + blocks + " blocks of the record are damaged";
            return withLive(key, firm, head.generation, throughout, trouble);
        }
    }

    private static void clearBeyond(long[] words, long regions) {
        if (regions % 64 != 0) {
            words[words.length - 1] &= -1L >>> (64 - regions % 64);
        }
    }

    /** The live map says more than the firm one, if it is of this boot; one that is not says at least what was copied. */
    private Found withLive(StepKey key, long[] firm, long generation, boolean throughout, @Nullable String trouble) {
        int words = firm.length;
        long run = StepLayout.liveRunBytes(words);
        Path path = liveOf(key);
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            Head head = StepLayout.head(sector(channel, 0), StepLayout.LIVE_MAGIC);
            if (head == null
                    || !Arrays.equals(head.digest, key.digest())
                    || (head.generation != generation && head.generation != generation + 1)) {
                return new Found(firm.clone(), firm, false, -1, trouble, generation);
            }
            long[] copied = words(channel, StepLayout.LIVE_WORDS_OFFSET, words);
            long[] open = words(channel, StepLayout.LIVE_WORDS_OFFSET + run, words);
            boolean sameBoot = !boot.isEmpty() && head.boot.equals(boot);
            long[] inStep = new long[words];
            long again = 0;
            for (int i = 0; i < words; i++) {
                inStep[i] = sameBoot && throughout ? copied[i] & ~open[i] : firm[i];
                firm[i] &= inStep[i];
                again += Long.bitCount(copied[i] & ~inStep[i]);
            }
            return new Found(inStep, firm, sameBoot, again, trouble, generation);
        } catch (IOException e) {
            return new Found(firm.clone(), firm, false, -1, trouble, generation);
        }
    }

    private static ByteBuffer sector(FileChannel channel, long offset) throws IOException {
        ByteBuffer sector = ByteBuffer.allocate(StepLayout.SECTOR_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        readFully(channel, sector, offset);
        return sector.clear();
    }

    private static long[] words(FileChannel channel, long offset, int count) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(count * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        readFully(channel, bytes, offset);
        long[] words = new long[count];
        bytes.flip().asLongBuffer().get(words, 0, Math.min(count, bytes.limit() / Long.BYTES));
        return words;
    }

    /** What the file does not have is zero. */
    private static void readFully(FileChannel channel, ByteBuffer into, long offset) throws IOException {
        while (into.hasRemaining() && channel.read(into, offset + into.position()) > 0) {}
        into.position(into.capacity());
    }

    /**
     * Opens a record for a mirror, new or with what was found. What is in step by {@code found} is durably so when this
     * returns, and nothing else.
     *
     * @param loop where syncs complete
     * @param workers where syncs are waited for
     * @param disown says durably, elsewhere, that the record is not true, if it cannot be written in time
     * @param lastResort makes the record meaningless by other means, if it can neither be written nor deleted
     */
    public StepFile open(
            StepKey key,
            Found found,
            Loop loop,
            Executor workers,
            StepFile.LastResort disown,
            StepFile.LastResort lastResort)
            throws IOException {
        long generation = found.generation + 1;
        byte[] digest = key.digest();
        long[] firm = found.firm();
        writeLive(key, found.inStep(), generation);
        writeFirm(key, firm, generation);
        FileChannel channel = FileChannel.open(
                firmOf(key), StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        try (FileChannel live = FileChannel.open(
                liveOf(key), StandardOpenOption.READ, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS)) {
            MemorySegment mapped = live.map(MapMode.READ_WRITE, 0, live.size(), Arena.ofAuto());
            mapped.load();
            return new StepFile(channel, mapped, firm, digest, loop, workers, () -> takeAway(key), disown, lastResort);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    /** Replaced as a whole: whoever reads finds the old one or the new one, which say the same. */
    private void writeFirm(StepKey key, long[] firm, long generation) throws IOException {
        byte[] digest = key.digest();
        int blocks = StepLayout.blocks(firm.length);
        Path fresh = directory.resolve(firmOf(key).getFileName() + NEW);
        try (FileChannel channel = create(fresh)) {
            Head head = new Head(generation, key.sizeBytes(), key.regionBytes(), digest, "");
            ByteBuffer all = ByteBuffer.allocate((StepLayout.HEADS + blocks) * StepLayout.SECTOR_BYTES);
            for (int i = 0; i < StepLayout.HEADS; i++) {
                all.put(StepLayout.head(StepLayout.FIRM_MAGIC, head).clear());
            }
            for (int block = 0; block < blocks; block++) {
                all.put(StepLayout.block(block, firm, digest).clear());
            }
            writeFully(channel, all.flip());
            channel.force(true);
        }
        Files.move(fresh, firmOf(key), StandardCopyOption.ATOMIC_MOVE);
        sync();
    }

    private void writeLive(StepKey key, long[] inStep, long generation) throws IOException {
        Path fresh = directory.resolve(liveOf(key).getFileName() + NEW);
        long run = StepLayout.liveRunBytes(inStep.length);
        try (FileChannel channel = create(fresh)) {
            Head head = new Head(generation, key.sizeBytes(), key.regionBytes(), key.digest(), boot);
            int length = Math.toIntExact(StepLayout.LIVE_WORDS_OFFSET + 2 * run);
            ByteBuffer all = ByteBuffer.allocate(length).order(ByteOrder.LITTLE_ENDIAN);
            all.put(StepLayout.head(StepLayout.LIVE_MAGIC, head).clear());
            all.position(StepLayout.LIVE_WORDS_OFFSET);
            for (long word : inStep) {
                all.putLong(word);
            }
            writeFully(channel, all.clear());
        }
        Files.move(fresh, liveOf(key), StandardCopyOption.ATOMIC_MOVE);
    }

    private static FileChannel create(Path path) throws IOException {
        Files.deleteIfExists(path);
        var options = Set.of(
                StandardOpenOption.CREATE_NEW,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE,
                LinkOption.NOFOLLOW_LINKS);
        return FileChannel.open(
                path, options, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    }

    private static void writeFully(FileChannel channel, ByteBuffer bytes) throws IOException {
        long at = 0;
        while (bytes.hasRemaining()) {
            at += channel.write(bytes, at);
        }
    }

    private void takeAway(StepKey key) throws IOException {
        delete(key.move(), key.disk());
    }

    /** Takes a record away, if it is there; durably. */
    public void delete(String move, int disk) throws IOException {
        Files.deleteIfExists(path(move, disk, LIVE));
        if (Files.deleteIfExists(path(move, disk, FIRM))) {
            sync();
        }
    }

    private Path firmOf(StepKey key) {
        return path(key.move(), key.disk(), FIRM);
    }

    private Path liveOf(StepKey key) {
        return path(key.move(), key.disk(), LIVE);
    }

    private Path path(String move, int disk, String suffix) {
        return directory.resolve(move + "-" + disk + suffix);
    }

    private void sync() throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** What the kernel calls the time since it was started; empty where it does not say. */
    public static String bootOfThisSystem() {
        try {
            return Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).trim();
        } catch (IOException e) {
            return "";
        }
    }
}
