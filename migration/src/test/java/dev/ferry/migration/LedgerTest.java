package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.migration.journal.BaseRecord;
import dev.ferry.migration.journal.FileJournals;
import dev.ferry.migration.journal.MoveRecord;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The journal of a move with very many files below its disks. */
class LedgerTest {
    @TempDir
    Path directory;

    private static MoveRecord record(int files) {
        List<BaseRecord> bases = new ArrayList<>();
        for (int i = 0; i < files; i++) {
            bases.add(new BaseRecord(
                    "/srv/slow/base-s" + i + ".vmdk",
                    "1:" + i + ":1000000000000",
                    i,
                    "vmdk",
                    1,
                    1,
                    null,
                    "/srv/slow/base.vmdk",
                    List.of("vm1"),
                    null,
                    null,
                    false,
                    false,
                    false,
                    false,
                    false,
                    null));
        }
        return new MoveRecord(
                0,
                0,
                "m1",
                "host",
                Phase.PREPARE,
                MigrationState.RUNNING,
                null,
                0,
                "fast",
                true,
                false,
                "native",
                null,
                null,
                null,
                null,
                null,
                bases,
                List.of());
    }

    @Test
    void itStaysShortHoweverManyFilesThereAre() throws IOException {
        MoveRecord first = record(400);
        FileJournals journals = new FileJournals(directory);
        Ledger ledger = new Ledger(journals, journals.create(first), first, InstantSource.system());
        for (int i = 0; i < 400; i++) {
            BaseRecord base = ledger.record().below().get(i);
            ledger.base(i, base.named(Path.of("/srv/fast/base-s" + i + ".vmdk")));
            ledger.base(i, ledger.record().below().get(i).made("2:" + i + ":1000000000000"));
            ledger.base(i, ledger.record().below().get(i).finished("d".repeat(64)));
        }
        ledger.close();
        assertThat(Files.size(directory.resolve("m1.journal"))).isLessThan(16L << 20);
        var found = new FileJournals(directory).all();
        assertThat(found).hasSize(1);
        assertThat(found.getFirst().damage()).isNull();
        assertThat(found.getFirst().last()).isEqualTo(ledger.record());
    }

    @Test
    void moreThanItCanTellOfIsRefused() throws IOException {
        FileJournals journals = new FileJournals(directory);
        assertThatThrownBy(() -> journals.create(record(2000))).hasMessageContaining("too many files");
        assertThat(journals.all()).isEmpty();
    }
}
