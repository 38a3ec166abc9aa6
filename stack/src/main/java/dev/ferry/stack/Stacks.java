package dev.ferry.stack;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.reactor.Errno;
import dev.ferry.reactor.FileFacts;
import dev.ferry.reactor.Linux;
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
