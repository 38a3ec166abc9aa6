package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.FileFacts;
import dev.ferry.reactor.Linux;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * All disks that are open here, on the loops of this process. A disk is open once, however many have a use for it: an
 * export and a migration share it, and it is closed when the last one has released it.
 *
 * <p>Thread: the control plane; calls block. Does not own the loops.
 */
public final class Stacks {
    private final List<DiskLoop> loops;
    private final FileOpener opener;
    private final Map<String, OpenDisk> disks = new HashMap<>();
    private int nextLoop;

    public Stacks(List<DiskLoop> loops, FileOpener opener) {
        this.loops = List.copyOf(loops);
        this.opener = opener;
    }

    /**
     * Opens a disk, on the loop whose turn it is; or gives the one of that name that is open one more user, wherever it
     * may have moved meanwhile.
     */
    public synchronized OpenDisk acquire(DiskSpec spec) throws BlockException {
        OpenDisk open = disks.get(spec.name());
        if (open != null) {
            open.users++;
            return open;
        }
        OpenDisk disk = new OpenDisk(spec.name(), DiskSide.open(nextLoop(), spec, opener), opener);
        disks.put(spec.name(), disk);
        return disk;
    }

    private synchronized DiskLoop nextLoop() {
        DiskLoop loop = loops.get(nextLoop);
        nextLoop = (nextLoop + 1) % loops.size();
        return loop;
    }

    /** Opens a file that is not to be known as a disk, on the loop whose turn it is. Whoever asked closes it. */
    public DiskSide openAlone(DiskSpec spec) throws BlockException {
        return DiskSide.open(nextLoop(), spec, opener);
    }

    /** The same, on a loop that is given. */
    public DiskSide openAlone(DiskSpec spec, DiskLoop loop) throws BlockException {
        return DiskSide.open(loop, spec, opener);
    }

    /** Takes one user away, which submits nothing any more; the last one's leaving flushes and closes the disk. */
    public synchronized void release(OpenDisk disk) throws BlockException {
        disk.users--;
        if (disk.users > 0) {
            return;
        }
        disks.remove(disk.name());
        try {
            if (!disk.side().spec().readOnly()) {
                disk.flush();
            }
        } finally {
            disk.close();
        }
    }

    public synchronized Optional<OpenDisk> find(String name) {
        return Optional.ofNullable(disks.get(name));
    }

    public synchronized List<OpenDisk> open() {
        return new ArrayList<>(disks.values());
    }

    /** Opens another file as a side for a disk that is open, on the same loop. */
    public DiskSide openSide(OpenDisk disk, DiskSpec spec) throws BlockException {
        return DiskSide.open(disk.loop(), spec, opener);
    }

    /** Makes what the format of a new disk's file needs to be in it, as a disk that keeps what its spec says. */
    public void format(OpenDisk disk, DiskSpec spec, long sizeBytes) throws BlockException {
        Images.format(disk.loop(), spec, opener, sizeBytes);
    }

    /** The same, as an overlay over a file beside it, whose clusters are as another's are. */
    public void formatOver(OpenDisk disk, DiskSpec spec, long sizeBytes, Qcow2Description like, DiskSpec base)
            throws BlockException {
        Qcow2Options usual = like.extendedL2() ? Qcow2Options.DEFAULT.withExtendedL2() : Qcow2Options.DEFAULT;
        Qcow2Options options = usual.withClusterBits(Long.numberOfTrailingZeros(like.clusterBytes()))
                .withBacking(
                        String.valueOf(base.path().getFileName()), base.format().text());
        Images.format(disk.loop(), spec, opener, sizeBytes, options);
    }

    /** The files that a disk is made of, open or not. */
    public Chain chain(DiskSpec spec) throws BlockException {
        return Chain.of(loops.getFirst(), spec, opener);
    }

    /** What a qcow2 file says of itself; opens nothing but that file. */
    public Qcow2Description describe(DiskSpec spec) throws BlockException {
        return Images.describe(loops.getFirst(), spec, opener);
    }

    /** The overlays of a file, and what may be one: those in its directory and above it, up to a directory. */
    public List<Path> over(Path base, Path upTo) throws BlockException {
        try {
            return Chain.over(loops.getFirst(), opener, base, upTo.toRealPath());
        } catch (IOException unseen) {
            throw BlockError.of(
                            ErrorKind.IO,
                            base.toString(),
                            "look at",
                            "it cannot be seen what lies over it: " + unseen.getMessage())
                    .toException();
        }
    }

    /**
     * The bytes of an overlay's file as they are to be where its backing file has another name. Closing what this gives closes the
     * file.
     *
     * @param file open on its loop as a raw disk
     * @throws BlockException of kind UNSUPPORTED if its header has no room for that name
     */
    public static BlockDevice renamed(DiskSide file, String name, ImageFormat format) throws BlockException {
        return RenamedBacking.over(file, name, format);
    }

    /** The size of a disk, open or not, in bytes. */
    public long sizeBytes(DiskSpec spec) throws BlockException {
        Optional<OpenDisk> open = find(spec.name());
        return open.isPresent()
                ? open.get().sizeBytes()
                : spec.sizeBytes(Images.sizeBytes(loops.getFirst(), spec, opener));
    }

    /** The kind of loop that disks run on here. */
    public String loopKind() {
        return loops.getFirst().events().name();
    }

    /** What a file takes up in its file system, in bytes. */
    public static long allocatedBytes(Path path) throws BlockException {
        int file = Linux.open(path.toString(), Linux.O_RDONLY | Linux.O_NOFOLLOW, 0);
        int error = file;
        if (file >= 0) {
            FileFacts facts = Linux.facts(file);
            Linux.close(file);
            if (facts.error() >= 0) {
                return facts.allocatedBytes();
            }
            error = facts.error();
        }
        ErrorKind kind = error == -Errno.ENOENT ? ErrorKind.NOT_FOUND : ErrorKind.IO;
        throw BlockError.of(kind, path.toString(), "look at", Errno.text(error)).toException();
    }
}
