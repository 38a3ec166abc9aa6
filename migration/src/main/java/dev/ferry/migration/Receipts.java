package dev.ferry.migration;

import dev.ferry.migration.journal.MoveRecord;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import tools.jackson.databind.json.JsonMapper;

/** Receipts of moves that are done, each in a file beside its journal: {@code m7.receipt.json}. Calls block. */
final class Receipts {
    private static final Logger LOG = LoggerFactory.getLogger(Receipts.class);
    private static final JsonMapper JSON = JsonMapper.builder().build();

    private final Path directory;

    Receipts(Path directory) {
        this.directory = directory;
    }

    /** Makes the receipt of a move, and the file if the move is done; the journal has all that it says, so it can be made again. */
    Receipt keep(MoveRecord record) {
        Receipt receipt = Receipt.of(record);
        if (record.state() == MigrationState.DONE) {
            try {
                Path fresh = directory.resolve("." + record.id() + ".receipt.new");
                Files.write(fresh, JSON.writerWithDefaultPrettyPrinter().writeValueAsBytes(receipt));
                Files.move(fresh, path(record.id()), StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                LOG.warn("the receipt of {} cannot be written: {}", record.id(), e.getMessage());
            }
        }
        return receipt;
    }

    void delete(String id) throws IOException {
        Files.deleteIfExists(path(id));
    }

    private Path path(String id) {
        return directory.resolve(id + ".receipt.json");
    }
}
