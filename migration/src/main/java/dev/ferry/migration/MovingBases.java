package dev.ferry.migration;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.datastore.NewDisk;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.Move.CalledOff;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings the files below the disks of a move to its target, the lowest first, before the targets of the disks are made over them. One
 * that is there already, the same byte for byte, is used as it is; a name that another file has is left to it. What is there whole stays
 * over a crash; what is not is brought anew. A target that fails parks the move.
 *
 * <p>Thread: that of the move, except what is marked.
 */
final class MovingBases {
    private static final Logger LOG = LoggerFactory.getLogger(MovingBases.class);
    private static final int NAMES_MAX = 1000;
    /** A target that differs from what was written to it so often does not keep what it is given. */
    private static final int ATTEMPTS_MAX = 3;

    private final Move move;
    private final Ledger ledger;
    private final MoveWork.Surroundings around;
    private final Parking parking;
    private int attempts;
    private volatile @Nullable BaseTransfer transfer;

    MovingBases(Move move, Ledger ledger, MoveWork.Surroundings around, Parking parking) {
        this.move = move;
        this.ledger = ledger;
        this.around = around;
        this.parking = parking;
    }

    /** The target has failed, and is tried again when it is well. */
    static final class TargetFailed extends Exception {
        private static final long serialVersionUID = 1L;

        private final BlockException why;

        TargetFailed(BlockException why) {
            super(why);
            this.why = why;
        }

        BlockException why() {
            return why;
        }
    }

    /** Brings all that is not there yet. */
    void carry(List<MovingDisk> disks) throws BlockException, CalledOff {
        for (int i = 0; i < ledger.record().below().size(); i++) {
            attempts = 0;
            while (!isThere(i)) {
                try {
                    bring(i, diskOver(record(i), disks));
                } catch (TargetFailed failed) {
                    parking.waitForBase(failed.why);
                    move.until(() -> !parking.waitsForBase());
                }
            }
        }
    }

    /** Of the file that is being brought, or the snapshots, the bytes that are at the target. Any thread. */
    long doneBytes() {
        BaseTransfer now = transfer;
        return now == null ? 0 : now.doneBytes();
    }

    /** True while one is being brought. Any thread. */
    boolean atWork() {
        return transfer != null;
    }

    private BaseRecord record(int index) {
        return ledger.record().below().get(index);
    }

    private static OpenDisk diskOver(BaseRecord base, List<MovingDisk> disks) {
        for (MovingDisk disk : disks) {
            if (base.disks().contains(disk.disk.name())) {
                return disk.disk;
            }
        }
        throw new IllegalStateException("a base below no disk of its move");
    }

    private boolean isThere(int index) throws BlockException {
        BaseRecord base = record(index);
        Path path = base.targetFile();
        return base.done() && path != null && DiskFiles.isFile(path, Objects.requireNonNull(base.targetIdentity()));
    }

    // ---- one file

    private void bring(int index, OpenDisk disk) throws BlockException, CalledOff, TargetFailed {
        forget(index);
        refuseIfChanged(record(index));
        for (int number = 1; number <= NAMES_MAX; number++) {
            Path path = fileOf(record(index), number);
            if (isOurs(path)) {
                continue;
            }
            awaitName(index, path);
            boolean there = around.bases().claim(ledger, index, path);
            try (Source source = open(record(index), path, disk)) {
                if (there ? isSame(index, path, disk, source) : make(index, path, disk, source)) {
                    return;
                }
            }
        }
        throw Planner.refusal(ErrorKind.BUSY, record(index).sourcePath(), "all names for it are taken at the target");
    }

    /** What another move makes is perhaps the same. Whoever waits holds no name itself. */
    private void awaitName(int index, Path path) throws BlockException, CalledOff {
        if (around.bases().beingMade(move.id(), path)) {
            ledger.base(index, record(index).again());
            move.until(() -> !around.bases().beingMade(move.id(), path));
        }
    }

    /** What an earlier attempt has left of it. */
    private void forget(int index) throws BlockException, TargetFailed {
        BaseRecord base = record(index);
        Path path = base.targetFile();
        if (path == null) {
            return;
        }
        try {
            String identity = base.targetIdentity();
            if (identity == null) {
                DiskFiles.discardPartial(path);
            } else if (!base.found() && !base.done()) {
                DiskFiles.discard(path, identity);
            }
        } catch (BlockException e) {
            throw new TargetFailed(e);
        }
        ledger.base(index, base.again());
    }

    /** What lies below disks is at rest; if it is not, what has been copied of it is worth nothing. */
    private static void refuseIfChanged(BaseRecord base) throws BlockException {
        Path file = base.sourceFile();
        boolean same = DiskFiles.isFile(file, base.sourceIdentity())
                && BasePlanner.length(file) == base.lengthBytes()
                && BasePlanner.modifiedNanos(file) == base.modifiedNanos();
        if (!same) {
            throw Planner.refusal(
                    ErrorKind.INVALID,
                    file.toString(),
                    "it has changed since the move began, though disks lie over it; the guest stays on the source");
        }
    }

    private Datastore target() throws BlockException {
        return around.catalog().datastore(ledger.record().targetDatastore());
    }

    private Path fileOf(BaseRecord base, int number) throws TargetFailed {
        try {
            return target().baseFile(BaseNames.of(base.sourceFile(), number));
        } catch (BlockException e) {
            throw new TargetFailed(e);
        }
    }

    /** A name that this move has given to something else. */
    private boolean isOurs(Path path) {
        MoveRecord now = ledger.record();
        return now.disks().stream().anyMatch(disk -> disk.targetFile().equals(path))
                || now.below().stream().anyMatch(base -> path.equals(base.targetFile()));
    }

    // ---- its source

    /** The bytes as they are to be at the target. */
    private record Source(DiskSide file, BlockDevice bytes) implements AutoCloseable {
        /** Another name may make a text longer or shorter. */
        long lengthBytes() {
            return bytes.geometry().sizeBytes();
        }

        @Override
        public void close() throws BlockException {
            file.close();
        }
    }

    /** @param path where it is to be */
    private Source open(BaseRecord base, Path path, OpenDisk disk) throws BlockException {
        DiskSpec spec = raw(base.sourceFile(), true);
        DiskSide file = around.stacks().openSide(disk, spec);
        try {
            return new Source(file, base.partOf() == null ? renamed(base, path, file) : file.device());
        } catch (BlockException | RuntimeException e) {
            file.close();
            throw e;
        }
    }

    /** A part is the guest's bytes, or a map of them; the files that others name say what they are called. */
    private BlockDevice renamed(BaseRecord base, Path path, DiskSide file) throws BlockException {
        Map<Path, String> names = new HashMap<>();
        for (BaseRecord other : ledger.record().below()) {
            Path there = other.targetFile();
            if (there != null) {
                names.put(other.sourceFile(), String.valueOf(there.getFileName()));
            }
        }
        names.put(base.sourceFile(), String.valueOf(path.getFileName()));
        String backing = base.backing();
        DiskSpec below = backing == null ? null : there(ledger.record().base(backing));
        DiskSpec spec =
                new DiskSpec(base.sourcePath(), base.sourceFile(), Provisioning.THIN, true, false, formatOf(base));
        return around.stacks().renamed(file, spec, names, below);
    }

    /** A file below disks as it is at the target, where it has been brought. */
    static DiskSpec there(BaseRecord base) throws BlockException {
        return new DiskSpec(
                "base", Objects.requireNonNull(base.targetFile()), Provisioning.THIN, true, false, formatOf(base));
    }

    static ImageFormat formatOf(BaseRecord base) throws BlockException {
        return ImageFormat.of(base.format())
                .orElseThrow(
                        () -> Planner.refusal(ErrorKind.UNSUPPORTED, base.sourcePath(), "no format " + base.format()));
    }

    private static DiskSpec raw(Path path, boolean readOnly) {
        return new DiskSpec(
                String.valueOf(DiskFiles.shownOf(path).getFileName()), path, Provisioning.THIN, readOnly, false);
    }

    // ---- found, or made

    /** @return false if it is another file */
    private boolean isSame(int index, Path path, OpenDisk disk, Source source)
            throws BlockException, CalledOff, TargetFailed {
        boolean mayBe = Files.isRegularFile(path, LinkOption.NOFOLLOW_LINKS)
                && BasePlanner.length(path) == source.lengthBytes()
                && !isOfDisk(path);
        if (!mayBe) {
            return false;
        }
        String identity = DiskFiles.identityOf(path);
        DiskSide there;
        try {
            there = around.stacks().openSide(disk, raw(path, true));
        } catch (BlockException e) {
            LOG.debug("{} is not looked at", path, e);
            return false;
        }
        String digest = null;
        if (source.lengthBytes() > 0) {
            BaseTransfer.Result result = transfer(disk, source.bytes(), there, false, true);
            if (result.differs()) {
                return false;
            }
            digest = result.digest();
        } else {
            there.close();
        }
        if (!DiskFiles.isFile(path, identity)) {
            return false;
        }
        LOG.info(
                "migration {}: {} is at the target already, as {}",
                move.id(),
                record(index).sourcePath(),
                path);
        ledger.base(index, record(index).there(identity, digest));
        return true;
    }

    /** It is a disk's own, or holds part of one, and may change. */
    private boolean isOfDisk(Path path) throws TargetFailed {
        try {
            List<Path> wholes = around.stacks().wholes(path, Objects.requireNonNull(path.getParent()));
            return around.catalog().isDisk(path) || wholes.stream().anyMatch(around.catalog()::isDisk);
        } catch (BlockException e) {
            throw new TargetFailed(e);
        }
    }

    /** @return false if the name is taken */
    private boolean make(int index, Path path, OpenDisk disk, Source source)
            throws BlockException, CalledOff, TargetFailed {
        BaseRecord base = record(index);
        NewDisk made;
        DiskSide side;
        try {
            made = target().createBase(path, source.lengthBytes());
        } catch (BlockException e) {
            if (e.kind() == ErrorKind.BUSY) {
                return false;
            }
            throw new TargetFailed(e);
        }
        ledger.base(index, base.made(made.identity()));
        String digest = null;
        if (source.lengthBytes() > 0) {
            try {
                side = around.stacks().openSide(disk, raw(made.partial(), false));
            } catch (BlockException e) {
                throw new TargetFailed(e);
            }
            BaseTransfer.Result result =
                    transfer(disk, source.bytes(), side, true, ledger.record().verify());
            if (result.differs()) {
                retryOrRefuse(base);
                return make(index, path, disk, source, made);
            }
            digest = result.digest();
        }
        refuseIfChanged(base);
        try {
            made.publish();
        } catch (BlockException e) {
            if (e.kind() == ErrorKind.BUSY) {
                made.discard();
                return false;
            }
            throw new TargetFailed(e);
        }
        ledger.base(index, record(index).finished(digest));
        return true;
    }

    private boolean make(int index, Path path, OpenDisk disk, Source source, NewDisk differing)
            throws BlockException, CalledOff, TargetFailed {
        differing.discard();
        return make(index, path, disk, source);
    }

    private void retryOrRefuse(BaseRecord base) throws BlockException {
        if (++attempts == ATTEMPTS_MAX) {
            throw Planner.refusal(
                    ErrorKind.CORRUPT,
                    base.sourcePath(),
                    "its copy still differs after " + ATTEMPTS_MAX
                            + " attempts; the target does not keep what is written to it; the guest stays on the source");
        }
        LOG.warn("migration {}: the copy of {} differs; it is copied again", move.id(), base.sourcePath());
    }

    /**
     * Copies bytes that do not change, compares them, or both; closes the target.
     *
     * @param disk one beside whose guest this is done, on its loop
     */
    BaseTransfer.Result transfer(OpenDisk disk, BlockDevice source, DiskSide target, boolean copies, boolean compares)
            throws BlockException, CalledOff, TargetFailed {
        BaseTransfer now = new BaseTransfer(move, parking, around.workers(), disk, source, target);
        transfer = now;
        BaseTransfer.Result result;
        try {
            result = now.run(copies, compares);
        } finally {
            transfer = null;
        }
        BlockError why = result.failure();
        if (why != null && result.ofTarget()) {
            throw new TargetFailed(why.toException());
        } else if (why != null) {
            throw why.toException();
        }
        return result;
    }
}
