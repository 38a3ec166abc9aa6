package dev.ferry.server.bitmaps;

import dev.ferry.block.BlockException;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.nbd.server.MetadataContext;
import dev.ferry.server.Problems;
import dev.ferry.server.api.BitmapAdd;
import dev.ferry.server.api.BitmapView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The dirty bitmaps of all disks. While clients may have a disk its bitmaps are in memory, and the file of that disk says
 * that they are in use: after a crash it says so still, and what they held is known to be lost. When the disk is detached,
 * or the daemon stops or hands over, they are written to the file.
 *
 * <p>They belong to the disk and not to the image that it lies in: a move, also one to another format, leaves them alone.
 *
 * <p>Any thread; serialised, but for {@link #contexts}.
 */
public final class Bitmaps {
    private static final Logger LOG = LoggerFactory.getLogger(Bitmaps.class);

    private final Path directory;
    private final Map<String, Recording> recordings = new ConcurrentHashMap<>();
    private boolean ended;

    /** @param directory where to keep them; made when there is the first */
    public Bitmaps(Path directory) {
        this.directory = directory;
    }

    private BitmapFile file(String disk) {
        return new BitmapFile(directory.resolve(disk + ".bitmaps"));
    }

    // ---- a disk's clients come and go

    /** Marks in a disk's bitmaps from now on; before clients come. */
    public synchronized void begin(OpenDisk disk) throws ProblemException, BlockException {
        Recording recording = new Recording(disk);
        BitmapFile.Contents found;
        try {
            found = file(disk.name()).read();
        } catch (IOException damaged) {
            // The disk matters more than what is known of its changes. The file is left for its owner to see.
            LOG.error("disk {} has no bitmaps: {}", disk.name(), damaged.getMessage());
            found = BitmapFile.Contents.NONE;
        }
        for (KeptBitmap bitmap : found.bitmaps()) {
            boolean whole = bitmap.sizeBytes() == disk.sizeBytes();
            recording.add(
                    whole
                            ? bitmap
                            : KeptBitmap.clean(bitmap.name(), bitmap.granularityBytes(), disk.sizeBytes())
                                    .inconsistent());
        }
        if (!found.bitmaps().isEmpty()) {
            if (found.inUse()) {
                LOG.warn(
                        "disk {}: its dirty bitmaps were in use when the daemon ended, and are inconsistent",
                        disk.name());
            }
            begin(recording);
        }
        recordings.put(disk.name(), recording);
    }

    /**
     * Has the file say that its bitmaps are in use. Where it cannot, as on a full disk, what it says must not be believed later: then it
     * is deleted, and the bitmaps are inconsistent. The disk matters more than what is known of its changes.
     */
    private void begin(Recording recording) throws ProblemException, BlockException {
        String disk = recording.disk().name();
        try {
            write(disk, true, recording.bitmaps());
        } catch (ProblemException failed) {
            LOG.error("the dirty bitmaps of disk {} are lost: {}", disk, failed.getMessage());
            for (KeptBitmap bitmap : recording.end()) {
                recording.add(bitmap.inconsistent());
            }
            forget(disk);
        }
    }

    /** What clients of a disk can ask of its bitmaps now. Asked on loops, which others wait for here: takes no lock. */
    public List<MetadataContext> contexts(String disk) {
        Recording recording = recordings.get(disk);
        return recording == null ? List.of() : recording.contexts();
    }

    /** Keeps a disk's bitmaps; its clients are gone. What cannot be kept is inconsistent from then on. */
    public synchronized void end(String disk) {
        keep(disk, true);
    }

    /**
     * Keeps the bitmaps of all disks; all clients are gone, and nothing is done here after it.
     *
     * @param durable returns when they would outlive a loss of power
     */
    public synchronized void endAll(boolean durable) {
        ended = true;
        for (String disk : List.copyOf(recordings.keySet())) {
            keep(disk, durable);
        }
    }

    private void keep(String disk, boolean durable) {
        Recording recording = recordings.remove(disk);
        if (recording == null || recording.bitmaps().isEmpty()) {
            return;
        }
        try {
            file(disk).write(false, recording.end(), durable);
        } catch (IOException failed) {
            LOG.error("the dirty bitmaps of disk {} are lost: {}", disk, failed.getMessage());
        }
    }

    // ---- for people

    public synchronized List<BitmapView> list(String disk) throws ProblemException, BlockException {
        List<BitmapView> views = new ArrayList<>();
        Recording recording = recordings.get(disk);
        for (KeptBitmap bitmap : bitmaps(disk)) {
            @Nullable DirtyBitmap bits = bitmap.bits();
            long dirty = -1;
            if (bits != null) {
                dirty = recording == null ? bits.dirtyBytes() : recording.dirtyBytes(bits);
            }
            String state = bits == null ? "inconsistent" : recording == null ? "kept" : "recording";
            views.add(new BitmapView(bitmap.name(), bitmap.granularityBytes(), dirty, state));
        }
        return views;
    }

    private List<KeptBitmap> bitmaps(String disk) throws ProblemException {
        Recording recording = recordings.get(disk);
        if (recording != null) {
            return recording.bitmaps();
        }
        try {
            return file(disk).read().bitmaps();
        } catch (IOException failed) {
            throw problem(failed);
        }
    }

    /** @param sizeBytes of the disk */
    public synchronized void add(String disk, long sizeBytes, BitmapAdd request)
            throws ProblemException, BlockException {
        int granularity = checked(request, sizeBytes);
        List<KeptBitmap> there = bitmaps(disk);
        if (there.stream().anyMatch(one -> one.name().equals(request.name()))) {
            throw Problems.conflict("disk " + disk + " has a bitmap " + request.name() + " already");
        }
        if (there.size() == BitmapFile.COUNT_MAX) {
            throw Problems.conflict("disk " + disk + " has " + there.size() + " bitmaps, and can have no more");
        }
        KeptBitmap fresh = KeptBitmap.clean(request.name(), granularity, sizeBytes);
        List<KeptBitmap> all = new ArrayList<>(there);
        all.add(fresh);
        Recording recording = write(disk, all);
        if (recording != null) {
            recording.add(fresh);
        }
    }

    public synchronized void remove(String disk, String name) throws ProblemException, BlockException {
        List<KeptBitmap> all = new ArrayList<>(bitmaps(disk));
        KeptBitmap bitmap = all.remove(place(disk, all, name));
        Recording recording = write(disk, all);
        if (recording != null) {
            recording.remove(bitmap);
        }
    }

    /** Nothing is dirty from now on; one that was inconsistent is not any more. */
    public synchronized void clear(String disk, String name) throws ProblemException, BlockException {
        List<KeptBitmap> all = new ArrayList<>(bitmaps(disk));
        int place = place(disk, all, name);
        KeptBitmap bitmap = all.get(place);
        all.set(place, bitmap.cleared());
        Recording recording = write(disk, all);
        if (recording != null) {
            recording.clear(bitmap);
        }
    }

    /** A disk is deleted. */
    public synchronized void forget(String disk) throws ProblemException {
        try {
            file(disk).write(false, List.of(), true);
        } catch (IOException failed) {
            throw problem(failed);
        }
    }

    /**
     * Has the file of a disk say what its bitmaps are to be; before they are that in memory, so that what fails has changed nothing.
     *
     * @return what marks in them now; null: nobody does
     */
    private @Nullable Recording write(String disk, List<KeptBitmap> all) throws ProblemException {
        if (ended) {
            throw Problems.conflict("this daemon is about to end; try again with the next");
        }
        Recording recording = recordings.get(disk);
        write(disk, recording != null, all);
        return recording;
    }

    private void write(String disk, boolean inUse, List<KeptBitmap> all) throws ProblemException {
        try {
            make();
            file(disk).write(inUse, all, true);
        } catch (IOException failed) {
            throw problem(failed);
        }
    }

    private void make() throws IOException {
        if (!Files.isDirectory(directory)) {
            Files.createDirectory(directory);
        }
    }

    private static int place(String disk, List<KeptBitmap> all, String name) throws ProblemException {
        for (int i = 0; i < all.size(); i++) {
            if (all.get(i).name().equals(name)) {
                return i;
            }
        }
        throw Problems.notFound("disk " + disk + " has no bitmap " + name + "; 'ferry disk bitmap ls " + disk
                + "' lists those that it has");
    }

    private static int checked(BitmapAdd request, long sizeBytes) throws ProblemException {
        int length = request.name().getBytes(StandardCharsets.UTF_8).length;
        if (length == 0
                || length > BitmapFile.NAME_BYTES_MAX
                || request.name().chars().anyMatch(c -> c < ' ' || c == 0x7f)) {
            throw Problems.wrongUsage(
                    "a bitmap's name has 1 to " + BitmapFile.NAME_BYTES_MAX + " bytes, and no control characters");
        }
        long granularity = request.granularityBytes();
        if (granularity < BitmapFile.GRANULARITY_BYTES_MIN
                || granularity > BitmapFile.GRANULARITY_BYTES_MAX
                || Long.bitCount(granularity) != 1) {
            throw Problems.wrongUsage("a bitmap's granularity is a power of two from 512 to 1G, not " + granularity);
        }
        if (!BitmapFile.fits(sizeBytes, (int) granularity)) {
            throw Problems.wrongUsage("a granularity of " + granularity
                    + " bytes is too fine for a disk of that size; choose a larger one");
        }
        return (int) granularity;
    }

    private static ProblemException problem(IOException failed) {
        String why = Objects.requireNonNullElse(failed.getMessage(), failed.toString());
        return new ProblemException(
                ProblemKind.FAILED,
                why.startsWith("the dirty bitmaps") ? why : "dirty bitmaps cannot be kept: " + why,
                failed);
    }
}
