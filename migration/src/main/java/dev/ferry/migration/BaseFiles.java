package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.stack.Stacks;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The files below disks, as far as they are shared: who wants one, and what is deleted when nobody does any more. A file is deleted only
 * if no other move has it in its journal and no other file in its directory, or above it in its datastore, names it as its backing file
 * or cannot be read.
 *
 * <p>Thread: any. What a move claims and what another deletes do not cross.
 */
final class BaseFiles {
    private static final Logger LOG = LoggerFactory.getLogger(BaseFiles.class);

    private final Stacks stacks;
    private volatile Supplier<List<MoveRecord>> unfinished = List::of;

    BaseFiles(Stacks stacks) {
        this.stacks = stacks;
    }

    /** Says where moves are found that are not over: those at work, and those of which something is left to be done. */
    void among(Supplier<List<MoveRecord>> moves) {
        unfinished = moves;
    }

    /** True while another move that is at work makes the file of that name. */
    boolean beingMade(String move, Path path) {
        return unfinished.get().stream()
                .filter(other -> !other.id().equals(move) && other.state() == MigrationState.RUNNING)
                .flatMap(other -> other.below().stream())
                .anyMatch(base -> wants(base, path) && !base.done());
    }

    private static boolean wants(BaseRecord base, Path path) {
        return path.equals(base.targetFile()) && !base.targetGone();
    }

    /**
     * Writes down that a move means to use a name at its target; from then on a file of that name is deleted for no other move.
     *
     * @return whether there is one
     */
    synchronized boolean claim(Ledger ledger, int index, Path path) throws BlockException {
        ledger.base(index, ledger.record().below().get(index).named(path));
        return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
    }

    /** Deletes what a move has brought for disks that stay where they are; written down after it. The upper ones go first. */
    synchronized void discardTargets(Ledger ledger) throws BlockException {
        for (int i = ledger.record().below().size() - 1; i >= 0; i--) {
            BaseRecord base = ledger.record().below().get(i);
            if (base.targetGone()) {
                continue;
            }
            Path path = base.targetFile();
            if (path != null && !base.found()) {
                discard(ledger, base, path);
            }
            ledger.base(i, base.withTargetGone());
        }
    }

    private void discard(Ledger ledger, BaseRecord base, Path path) throws BlockException {
        String identity = base.targetIdentity();
        if (identity == null) {
            DiskFiles.discardPartial(path);
        } else if (!base.done() || !isUsed(ledger, path, targetRoot(path))) {
            DiskFiles.discard(path, identity);
        }
    }

    /** Bases are made in the directory of the datastore itself. */
    private static Path targetRoot(Path path) {
        return Objects.requireNonNull(path.getParent());
    }

    /** Deletes what disks that have moved lay over, if nobody else does; written down after it. The upper ones go first. */
    synchronized void discardSources(Ledger ledger) throws BlockException {
        MoveRecord record = ledger.record();
        for (int i = record.below().size() - 1; i >= 0 && !record.keepSource(); i--) {
            BaseRecord base = ledger.record().below().get(i);
            if (base.sourceGone()) {
                continue;
            }
            // Disks lie in the directory of their datastore itself.
            Path root = Objects.requireNonNull(
                    record.disks().getFirst().sourceFile().getParent());
            for (var disk : record.disks()) {
                if (base.disks().contains(disk.name())) {
                    root = Objects.requireNonNull(disk.sourceFile().getParent());
                }
            }
            boolean there = DiskFiles.isFile(base.sourceFile(), base.sourceIdentity());
            boolean used = there && isUsed(ledger, base.sourceFile(), root);
            if (there && !used) {
                DiskFiles.delete(base.sourceFile(), base.sourceIdentity());
            }
            ledger.base(i, base.withSourceGone(used));
        }
    }

    /** Deletes what held a disk besides its own file, which is gone, unless others want it too. */
    synchronized void deleteParts(Ledger ledger, DiskRecord disk, Catalog catalog) throws BlockException {
        Path root = Objects.requireNonNull(disk.sourceFile().getParent());
        stacks.deleteParts(disk.sourceParts(), root, part -> catalog.isDisk(part) || isWanted(ledger.record(), part));
    }

    /** Another move that is not over has a use for a file. */
    private boolean isWanted(MoveRecord mine, Path path) {
        for (MoveRecord other : unfinished.get()) {
            boolean wanted =
                    !other.id().equals(mine.id()) && other.below().stream().anyMatch(base -> wants(base, path));
            if (wanted) {
                LOG.info("{} stays: migration {} has a use for it", path, other.id());
                return true;
            }
        }
        return false;
    }

    private boolean isUsed(Ledger ledger, Path path, Path root) throws BlockException {
        if (isWanted(ledger.record(), path)) {
            return true;
        }
        List<Path> over = new ArrayList<>(stacks.over(path, root));
        // A part names nothing, though nothing may be left that names it as one.
        ledger.record().below().stream()
                .filter(base -> base.partOf() != null)
                .forEach(part -> over.remove(part.sourceFile()));
        if (!over.isEmpty()) {
            LOG.info("{} stays: {} lies over it", path, over.getFirst());
        }
        return !over.isEmpty();
    }
}
