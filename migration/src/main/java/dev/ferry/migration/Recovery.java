package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.Journals;
import dev.ferry.migration.journal.MoveRecord;
import dev.ferry.migration.journal.StepFiles;
import dev.ferry.stack.Overlays;
import java.io.IOException;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What the start after a crash does with a migration that does not go on: one that had decided is brought to its end, and
 * one that was being undone is undone. The table of all phases is in the README of this module.
 *
 * <p>Every step can be done twice, so a crash in here is one more crash. What cannot be deleted or told now leaves the
 * migration {@code switched}, with the reason; {@code commit} tries again. Thread: that of the start; calls block.
 */
final class Recovery {
    private static final String RESTARTED = "the daemon was restarted while it switched";
    private static final Logger LOG = LoggerFactory.getLogger(Recovery.class);

    private final Journals journals;
    private final Catalog catalog;
    private final StepFiles steps;
    private final InstantSource clock;
    private final BaseFiles bases;

    Recovery(Journals journals, Catalog catalog, StepFiles steps, InstantSource clock, BaseFiles bases) {
        this.bases = bases;
        this.journals = journals;
        this.catalog = catalog;
        this.steps = steps;
        this.clock = clock;
    }

    /**
     * True if a migration goes on where it was: nothing has been decided, nothing has been given up; or the way back is open
     * and no way back has been decided.
     */
    static boolean goesOn(MoveRecord last) {
        boolean undecided = last.disks().stream().allMatch(disk -> disk.authority() == Authority.SOURCE);
        return switch (last.phase()) {
            case PREPARE, CREATE, COPY, VERIFY -> undecided;
            case SWITCH -> undecided || last.kept();
            case KEEP, ROLLBACK -> last.kept();
            case COMMIT, UNDO, END -> false;
        };
    }

    /** @return the migration's last record, now; null if nothing was ever done by it and it is forgotten */
    @Nullable
    MoveRecord recover(Journals.Found found) throws IOException {
        MoveRecord last = found.last();
        if (found.damage() != null) {
            return damaged(found.id(), last, found.damage());
        }
        if (last == null) {
            journals.delete(found.id());
            return null;
        }
        return switch (last.phase()) {
            case END -> last;
            case PREPARE, CREATE, COPY, VERIFY, SWITCH -> bringToEnd(found, MigrationState.FAILED, RESTARTED);
            case UNDO -> bringToEnd(found, last.state(), last.error());
            case COMMIT, KEEP -> bringToEnd(found, MigrationState.FAILED, last.error());
            case ROLLBACK -> bringBack(found, last);
        };
    }

    /** One that is not to be touched. */
    MoveRecord damaged(String id, @Nullable MoveRecord last, String damage) {
        String error = "its journal cannot be used: " + damage + "; no file was touched, look at both sides";
        LOG.error("migration {}: {}", id, error);
        long now = clock.millis();
        return last == null
                ? new MoveRecord(
                        0,
                        now,
                        id,
                        null,
                        Phase.END,
                        MigrationState.FAILED,
                        error,
                        now,
                        "",
                        false,
                        true,
                        "",
                        null,
                        null,
                        null,
                        null,
                        null,
                        null,
                        List.of())
                : last.told(last.atMillis(), MigrationState.FAILED, error);
    }

    private MoveRecord bringToEnd(Journals.Found found, MigrationState meant, @Nullable String why) throws IOException {
        MoveRecord last = Objects.requireNonNull(found.last());
        Ledger ledger = new Ledger(journals, journals.reopen(found), last, clock);
        try {
            for (int i = 0; i < last.disks().size(); i++) {
                DiskSteps.deleteAll(steps, last.id(), i);
            }
            long switched = last.disks().stream()
                    .filter(disk -> disk.authority() == Authority.TARGET)
                    .count();
            if (switched == last.disks().size()) {
                complete(ledger, MigrationState.DONE, null);
            } else {
                String error = switched == 0 ? why : switchedInPart(last, why);
                ledger.phase(Phase.UNDO, meant, error);
                discardTargets(ledger, bases);
                complete(ledger, meant, error);
            }
        } catch (BlockException e) {
            LOG.error("migration {} cannot be brought to an end now", found.id(), e);
            return withError(ledger.record(), e.getMessage());
        } finally {
            ledger.close();
        }
        LOG.info(
                "migration {} was under way: now {}",
                found.id(),
                ledger.record().state().text());
        return ledger.record();
    }

    /** The guests had gone back: does what was left to do. */
    private MoveRecord bringBack(Journals.Found found, MoveRecord last) throws IOException {
        Ledger ledger = new Ledger(journals, journals.reopen(found), last, clock);
        try {
            for (int i = 0; i < last.disks().size(); i++) {
                DiskSteps.deleteAll(steps, last.id(), i);
            }
            settleRollback(ledger, catalog, bases);
        } catch (BlockException e) {
            LOG.error("migration {} has gone back, and cannot be brought to an end now", found.id(), e);
            return notBroughtBack(ledger.record(), e);
        } finally {
            ledger.close();
        }
        return ledger.record();
    }

    /** What is told of one whose guests are back, but that is not over. */
    static MoveRecord notBroughtBack(MoveRecord record, BlockException why) {
        return record.told(
                record.atMillis(),
                MigrationState.PARKED,
                "the guest is back on the source, but " + why.getMessage() + "; 'ferry migration rollback "
                        + record.id() + "' does the rest");
    }

    /** What is to be done for disks that are back on their sources; every step can be done twice. */
    static void settleRollback(Ledger ledger, Catalog catalog, BaseFiles bases) throws BlockException {
        List<DiskRecord> told = new ArrayList<>();
        for (DiskRecord disk : ledger.record().disks()) {
            DiskRecord.Former former = Objects.requireNonNull(disk.former());
            catalog.moved(disk.name(), disk.sourceDatastore(), disk.sourceFile(), former.provisioning());
            told.add(disk.withBack());
        }
        ledger.disks(told);
        discardTargets(ledger, bases);
        ledger.phase(Phase.END, MigrationState.ROLLED_BACK, null);
    }

    /** Does again what was left to do after the switch, or after the way back. */
    MoveRecord finish(MoveRecord record) throws BlockException {
        try {
            for (Journals.Found found : journals.all()) {
                MoveRecord last = found.last();
                if (found.id().equals(record.id()) && found.damage() == null && last != null) {
                    MoveRecord after = last.phase() == Phase.ROLLBACK && !last.kept()
                            ? bringBack(found, last)
                            : bringToEnd(found, MigrationState.FAILED, null);
                    String error = after.error();
                    if (!after.state().over() && error != null) {
                        throw Planner.refusal(ErrorKind.IO, "migration " + record.id(), error);
                    }
                    return after;
                }
            }
        } catch (IOException e) {
            throw e instanceof BlockException refusal
                    ? refusal
                    : Planner.refusal(ErrorKind.IO, "journal of " + record.id(), String.valueOf(e.getMessage()));
        }
        throw Planner.refusal(ErrorKind.NOT_FOUND, "journal of " + record.id(), "it is gone or damaged");
    }

    static String switchedInPart(MoveRecord record, @Nullable String why) {
        List<String> there = new ArrayList<>();
        List<String> here = new ArrayList<>();
        for (DiskRecord disk : record.disks()) {
            (disk.authority() == Authority.TARGET ? there : here).add(disk.name());
        }
        return "moved: " + String.join(", ", there) + "; not moved: " + String.join(", ", here)
                + (why == null ? "" : ": " + why);
    }

    /** Deletes what was made at the target for disks that stay where they are; written down after it. */
    static void discardTargets(Ledger ledger, BaseFiles bases) throws BlockException {
        for (int i = 0; i < ledger.record().disks().size(); i++) {
            DiskRecord disk = ledger.record().disks().get(i);
            if (disk.authority() == Authority.TARGET || disk.targetGone()) {
                continue;
            }
            String identity = disk.targetIdentity();
            if (identity == null) {
                DiskFiles.discardPartial(disk.targetFile());
            } else {
                DiskFiles.discard(disk.targetFile(), identity);
            }
            ledger.disk(i, disk.withTargetGone());
        }
        bases.discardTargets(ledger);
    }

    /** Tells the inventory of the disks that have moved, deletes their sources, and writes the end. */
    private void complete(Ledger ledger, MigrationState meant, @Nullable String error) throws BlockException {
        MoveRecord begun = ledger.record();
        if (begun.disks().stream().anyMatch(disk -> disk.authority() == Authority.TARGET)) {
            try {
                ledger.phase(Phase.COMMIT, MigrationState.SWITCHED, error);
                settleDisks(ledger, catalog, bases);
            } catch (BlockException e) {
                ledger.phase(Phase.COMMIT, MigrationState.SWITCHED, e.getMessage());
                return;
            }
        }
        ledger.phase(Phase.END, meant, error);
    }

    /** What is to be done for disks that are at the target; every step is written down after it. */
    static void settleDisks(Ledger ledger, Catalog catalog, BaseFiles bases) throws BlockException {
        for (int i = 0; i < ledger.record().disks().size(); i++) {
            DiskRecord disk = ledger.record().disks().get(i);
            if (disk.authority() != Authority.TARGET) {
                continue;
            }
            if (!disk.told()) {
                DiskFiles.publish(disk.targetFile(), Objects.requireNonNull(disk.targetIdentity()));
                catalog.moved(
                        disk.name(), ledger.record().targetDatastore(), disk.targetFile(), disk.targetProvisioning());
                ledger.disk(i, disk.withTold());
            }
            if (!ledger.record().keepSource() && !disk.sourceGone()) {
                DiskFiles.delete(disk.sourceFile(), disk.sourceIdentity());
                Overlays.delete(disk.sourceFile());
                bases.deleteParts(ledger, disk, catalog);
                ledger.disk(i, ledger.record().disks().get(i).withSourceGone());
            }
        }
        bases.discardSources(ledger);
    }

    private static MoveRecord withError(MoveRecord record, @Nullable String error) {
        boolean switched = record.disks().stream().anyMatch(disk -> disk.authority() == Authority.TARGET);
        return record.told(record.atMillis(), switched ? MigrationState.SWITCHED : MigrationState.FAILED, error);
    }
}
