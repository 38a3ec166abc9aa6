package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.migration.journal.Authority;
import dev.ferry.migration.journal.DiskRecord;
import dev.ferry.migration.journal.FileJournals;
import dev.ferry.migration.journal.Journals;
import dev.ferry.migration.journal.MoveRecord;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The moves that are known: those at work, and those that are not any more, the oldest of which are forgotten.
 *
 * <p>Thread: any.
 */
final class KnownMoves {
    private static final Logger LOG = LoggerFactory.getLogger(KnownMoves.class);
    private static final int HISTORY_MAX = 200;

    private final Journals journals;
    private final Receipts receipts;
    private final Map<String, Move> moves = new LinkedHashMap<>();
    private final Map<String, MoveRecord> past = new LinkedHashMap<>();

    KnownMoves(Journals journals, Receipts receipts) {
        this.journals = journals;
        this.receipts = receipts;
    }

    synchronized void add(Move move) {
        moves.put(move.id(), move);
    }

    /** One that is not at work; instead of what was known of it. */
    synchronized void add(String id, MoveRecord record) {
        past.put(id, record);
    }

    /** A move has come to its end. */
    synchronized void retire(Move move) {
        moves.remove(move.id());
        past.put(move.id(), move.lastRecord());
        receipts.keep(move.lastRecord());
        prune();
    }

    /** Forgets the oldest of what is over. */
    synchronized void prune() {
        long over =
                past.values().stream().filter(record -> record.state().over()).count();
        var records = past.values().iterator();
        while (over > HISTORY_MAX && records.hasNext()) {
            MoveRecord record = records.next();
            if (record.state().over()) {
                try {
                    journals.delete(record.id());
                    receipts.delete(record.id());
                } catch (IOException e) {
                    LOG.warn("journal of {} cannot be deleted", record.id(), e);
                    return;
                }
                records.remove();
                over--;
            }
        }
    }

    // ---- one of them

    /** Null if none of that id is at work. */
    synchronized @Nullable Move atWork(String id) {
        return moves.get(id);
    }

    /** @throws BlockException if none of that id is at work */
    synchronized Move require(String id, String what) throws BlockException {
        Move move = moves.get(id);
        if (move != null) {
            return move;
        }
        MoveRecord record = past.get(id);
        if (record == null) {
            throw unknown(id);
        }
        throw Planner.refusal(
                ErrorKind.INVALID,
                "migration " + id,
                "it is " + record.state().text() + ", one cannot " + what + " it");
    }

    /** The last record of one that is not at work; null if there is none of that id. */
    synchronized @Nullable MoveRecord over(String id) {
        return past.get(id);
    }

    /** The last record of one, at work or not; null if there is none of that id. */
    synchronized @Nullable MoveRecord record(String id) {
        Move move = moves.get(id);
        return move == null ? past.get(id) : move.lastRecord();
    }

    /** @throws BlockException of kind {@code NOT_FOUND} if there is no such migration */
    MigrationStatus find(String id) throws BlockException {
        Move move;
        synchronized (this) {
            move = moves.get(id);
            MoveRecord record = past.get(id);
            if (move == null && record != null) {
                return StatusView.of(record);
            }
        }
        if (move == null) {
            throw unknown(id);
        }
        return move.status();
    }

    private static BlockException unknown(String id) {
        return Planner.refusal(ErrorKind.NOT_FOUND, "migration " + id, "there is none of that id");
    }

    // ---- all of them

    synchronized List<Move> atWork() {
        return new ArrayList<>(moves.values());
    }

    /** The records of those that are not over, at work or not; one that waits for something says so. */
    synchronized List<MoveRecord> unfinished() {
        List<MoveRecord> records = new ArrayList<>();
        moves.values().forEach(move -> records.add(move.seenRecord()));
        past.values().stream().filter(record -> !record.state().over()).forEach(records::add);
        return records;
    }

    /** True while none has a thread at work. */
    synchronized boolean isIdle() {
        return moves.values().stream().allMatch(Move::over);
    }

    /** All migrations, oldest first. */
    List<MigrationStatus> list() {
        List<Move> live;
        Map<Long, MigrationStatus> all = new TreeMap<>();
        synchronized (this) {
            live = new ArrayList<>(moves.values());
            past.forEach((id, record) -> all.put(FileJournals.numberOf(id), StatusView.of(record)));
        }
        live.forEach(move -> all.put(FileJournals.numberOf(move.id()), move.status()));
        return new ArrayList<>(all.values());
    }

    /** Room at a datastore that moves have still to fill. */
    synchronized long promisedBytes(String datastore) {
        long bytes = 0;
        for (Move move : moves.values()) {
            bytes += move.promisedBytes(datastore);
        }
        return bytes;
    }

    // ---- what a disk must not be used for

    /** @throws BlockException if a disk is being moved, or a move of it is not brought to its end */
    synchronized void refuseIfMoving(String disk) throws BlockException {
        for (Move move : moves.values()) {
            if (move.moves(disk)) {
                throw Planner.refusal(
                        ErrorKind.BUSY,
                        "disk " + disk,
                        move.kept()
                                ? "migration " + move.id() + " of it keeps the way back open; commit it or roll it back"
                                : "it is being moved already, by migration " + move.id());
            }
        }
        for (MoveRecord record : past.values()) {
            if (!record.state().over()
                    && record.disks().stream().anyMatch(d -> d.name().equals(disk))) {
                throw Planner.refusal(
                        ErrorKind.BUSY,
                        "disk " + disk,
                        "migration " + record.id() + " of it has to be committed first");
            }
        }
    }

    /** A decision that the inventory could not be told of is a decision all the same. */
    synchronized void refuseWhereTheInventoryIsBehind(Catalog catalog, String name) throws BlockException {
        for (MoveRecord record : past.values()) {
            for (DiskRecord disk : record.disks()) {
                boolean there = disk.authority() == Authority.TARGET;
                Path file = there ? disk.targetFile() : disk.sourceFile();
                if (!record.state().over()
                        && disk.name().equals(name)
                        && !catalog.disk(name).spec().path().equals(file)) {
                    throw Planner.refusal(
                            ErrorKind.UNAVAILABLE,
                            "disk " + name,
                            "it is " + file + ", and the inventory could not be told; 'ferry migration "
                                    + (there ? "commit " : "rollback ") + record.id() + "' tries again");
                }
            }
        }
    }
}
