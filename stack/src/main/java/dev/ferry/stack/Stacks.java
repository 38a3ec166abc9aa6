package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Invariant;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.NewNames;
import dev.ferry.image.Patches;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.qcow2.Qcow2Names;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.image.vhd.VhdLink;
import dev.ferry.image.vhdx.VhdxLink;
import dev.ferry.image.vmdk.VmdkNames;
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
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * All disks that are open here, on the loops of this process. A disk is open once, however many have a use for it: an
 * export and a migration share it, and it is closed when the last one has released it.
 *
 * <p>Thread: the control plane; calls block. Does not own the loops.
 */
public final class Stacks {
    private static final Logger LOG = LoggerFactory.getLogger(Stacks.class);

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

    /**
     * Opens what a qcow2 disk was when an internal snapshot was made, to be read, as a disk of the name that the spec gives it, which
     * nobody else has open.
     *
     * @param snapshot its id or its name
     */
    public synchronized OpenDisk acquireSnapshot(DiskSpec spec, String snapshot) throws BlockException {
        Invariant.that(!disks.containsKey(spec.name()), "a disk that is not open");
        DiskSide side = DiskSide.openSnapshot(nextLoop(), spec, opener, snapshot);
        OpenDisk disk = new OpenDisk(spec.name(), side, opener);
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

    /**
     * Makes what the format of a new disk's file needs to be in it, as a disk that keeps what its spec says.
     *
     * @param shape of a qcow2 image; of others none is looked at
     */
    public void format(OpenDisk disk, DiskSpec spec, long sizeBytes, Qcow2Shape shape) throws BlockException {
        Images.format(disk.loop(), spec, opener, sizeBytes, shape);
    }

    /**
     * The same, as a disk that lies over a file beside it. A qcow2 image has clusters as the disk's own, so that what is not allocated
     * on one side is not on the other.
     */
    public void formatOver(OpenDisk disk, DiskSpec spec, long sizeBytes, DiskSpec base) throws BlockException {
        String name = String.valueOf(base.path().getFileName());
        if (spec.format() != ImageFormat.QCOW2) {
            Parents.Parent parent = Parents.parent(disk.loop(), spec, opener, name);
            Parents.delta(disk.loop(), spec, opener, new Parents.Parent(name, parent.spec(), sizeBytes));
            return;
        }
        Qcow2Options options = Qcow2Options.DEFAULT;
        if (disk.side().spec().format() == ImageFormat.QCOW2) {
            Qcow2Description like = describe(disk.side().spec());
            options = like.extendedL2() ? options.withExtendedL2() : options;
            options = options.withClusterBits(Long.numberOfTrailingZeros(like.clusterBytes()));
        }
        options = options.withBacking(name, base.format().qemuText());
        Images.format(disk.loop(), spec, opener, sizeBytes, options);
    }

    /** The files that a disk is made of, open or not; nobody is looked for who shares them. */
    public Chain chain(DiskSpec spec) throws BlockException {
        return Chain.alone(loops.getFirst(), spec, opener);
    }

    /** The files that hold a disk besides its own. */
    public List<Path> parts(DiskSpec spec) throws BlockException {
        return DiskParts.of(loops.getFirst(), spec, opener);
    }

    /** What a qcow2 file says of itself; opens nothing but that file. */
    public Qcow2Description describe(DiskSpec spec) throws BlockException {
        return Images.describe(loops.getFirst(), spec, opener);
    }

    /**
     * The files that name a file as what they lie over or as a part of their disk, and what may be one of them: those in its directory
     * and above it, up to a directory.
     */
    public List<Path> over(Path base, Path upTo) throws BlockException {
        return mentions(base, upTo, false);
    }

    /** Of them, those that have it as a part of their disk. */
    public List<Path> wholes(Path part, Path upTo) throws BlockException {
        return mentions(part, upTo, true);
    }

    private List<Path> mentions(Path file, Path upTo, boolean asPart) throws BlockException {
        try {
            return new Mentions(loops.getFirst(), opener, file).upTo(upTo.toRealPath(), asPart);
        } catch (IOException unseen) {
            throw BlockError.of(
                            ErrorKind.IO,
                            file.toString(),
                            "look at",
                            "it cannot be seen what lies over it: " + unseen.getMessage())
                    .toException();
        }
    }

    /**
     * The bytes of a disk's file as they are to be where it and the files that it names have other names, all beside each other: the
     * file itself where it names them so already. The caller closes the file, and not what this gives.
     *
     * @param file open on its loop as a raw disk
     * @param spec the disk
     * @param names what files are called there, by where they are
     * @param below what it lies over there; null: nothing
     * @throws BlockException of kind UNSUPPORTED if it has no room for those names
     */
    public BlockDevice renamed(DiskSide file, DiskSpec spec, Map<Path, String> names, @Nullable DiskSpec below)
            throws BlockException {
        Map<String, String> files = new HashMap<>();
        String own = names.get(spec.path());
        if (own != null) {
            files.put(String.valueOf(spec.path().getFileName()), own);
        }
        for (Map.Entry<String, Path> part :
                DiskParts.byName(file.loop(), spec, opener).entrySet()) {
            String name = names.get(part.getValue());
            if (name != null) {
                files.put(part.getKey(), name);
            }
        }
        NewNames all = below == null
                ? new NewNames(null, null, files)
                : new NewNames(
                        String.valueOf(below.path().getFileName()),
                        below.format().qemuText(),
                        files);
        String name = file.spec().shownAs();
        Patches patches = new Patches(new DeviceBytes(file.loop().loop(), file.device(), name));
        rename(patches, spec.format(), all);
        return patches.none() ? file.device() : CheckedDevice.of(new PatchedFile(file.device(), patches), name);
    }

    private static void rename(FileBytes bytes, ImageFormat format, NewNames names) throws BlockException {
        String below = names.below();
        switch (format) {
            case RAW -> {}
            case QCOW2 -> Qcow2Names.change(bytes, names);
            case VMDK -> VmdkNames.change(bytes, names);
            case VHD -> {
                if (below != null) {
                    VhdLink.change(bytes, below);
                }
            }
            case VHDX -> {
                if (below != null) {
                    VhdxLink.change(bytes, below);
                }
            }
        }
    }

    /** The parts of a disk, to be written down before its own file is deleted. */
    public List<PartRecord> partRecords(DiskSpec spec) throws BlockException {
        List<PartRecord> records = new ArrayList<>();
        for (Path part : parts(spec)) {
            records.add(new PartRecord(part.toString(), DiskFiles.identityOf(part)));
        }
        return records;
    }

    /**
     * Deletes the parts of a disk whose own file is deleted, durably, so that no crash leaves a disk that lacks a part. One that others
     * name too stays, and so does one that somebody wants. May be done twice.
     *
     * @param root directory of the datastore that they are in
     */
    public void deleteParts(List<PartRecord> parts, Path root, Predicate<Path> wanted) throws BlockException {
        for (PartRecord part : parts) {
            if (!DiskFiles.isFile(part.file(), part.identity())) {
                continue;
            }
            List<Path> users = new ArrayList<>(over(part.file(), root));
            // Nothing names them as parts any more, and a part names nothing.
            users.removeAll(parts.stream().map(PartRecord::file).toList());
            if (wanted.test(part.file()) || !users.isEmpty()) {
                LOG.info("{} stays: it is not only of the disk that is deleted {}", part.path(), users);
            } else {
                boolean _ = DiskFiles.delete(part.file(), part.identity());
            }
        }
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
