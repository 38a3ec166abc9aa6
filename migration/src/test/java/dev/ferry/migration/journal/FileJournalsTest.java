package dev.ferry.migration.journal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.MigrationState;
import dev.ferry.migration.Phase;
import dev.ferry.migration.Strategy;
import dev.ferry.migration.StrategySettings;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.stack.PartRecord;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FileJournalsTest {
    @TempDir
    Path directory;

    @Test
    void givesBackTheLastRecord() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 3);
        write(journals, "m10", 1);
        write(journals, "m2", 2);
        List<Journals.Found> all = journals.all();
        assertThat(all).extracting(Journals.Found::id).containsExactly("m1", "m2", "m10");
        assertThat(all.getFirst().last()).isEqualTo(record("m1", 2));
        assertThat(all).extracting(Journals.Found::damage).containsOnlyNulls();
    }

    @Test
    void aJournalOfANewerVersionIsSaidToBeOne() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 2);
        byte[] bytes = Files.readAllBytes(directory.resolve("m1.journal"));
        bytes[7] = '2';
        Journals.Found found = JournalFile.parse("m1", bytes);
        assertThat(found.last()).isNull();
        assertThat(found.damage()).contains("another version").contains("2");
    }

    @Test
    void goesOnBehindTheLastRecord() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 2);
        try (Journal journal = journals.reopen(journals.all().getFirst())) {
            journal.append(record("m1", 2));
        }
        assertThat(journals.all().getFirst().last()).isEqualTo(record("m1", 2));
    }

    @Test
    void growsBeyondItsFirstRoom() throws IOException {
        FileJournals journals = new FileJournals(directory);
        int records = 3 * JournalFile.GROWTH_BYTES / 500;
        write(journals, "m1", records);
        assertThat(journals.all().getFirst().last()).isEqualTo(record("m1", records - 1));
        assertThat(Files.size(directory.resolve("m1.journal"))).isGreaterThan(2L * JournalFile.GROWTH_BYTES);
    }

    @Test
    void aTornLastRecordIsDroppedWhereverItTears() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 2);
        long end = journals.all().getFirst().endBytes();
        write(journals, "m2", 3);
        byte[] whole = Files.readAllBytes(directory.resolve("m2.journal"));
        long wholeEnd = journals.all().get(1).endBytes();
        for (long tear = end; tear < wholeEnd; tear += 7) {
            byte[] torn = whole.clone();
            Arrays.fill(torn, (int) tear, torn.length, (byte) 0);
            Journals.Found found = JournalFile.parse("m2", torn);
            assertThat(found.damage()).isNull();
            assertThat(found.last()).isIn(record("m2", 1), record("m2", 2));
            assertThat(JournalFile.parse("m2", Arrays.copyOf(whole, (int) tear)).damage())
                    .isNull();
        }
    }

    @Test
    void writesOnAfterATornRecordAsIfItHadNotBeen() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 3);
        long end = journals.all().getFirst().endBytes();
        Path file = directory.resolve("m1.journal");
        byte[] bytes = Files.readAllBytes(file);
        bytes[(int) end - 20] ^= 1;
        Files.write(file, bytes);
        Journals.Found found = journals.all().getFirst();
        assertThat(found.last()).isEqualTo(record("m1", 1));
        try (Journal journal = journals.reopen(found)) {
            journal.append(record("m1", 2));
        }
        assertThat(journals.all().getFirst().last()).isEqualTo(record("m1", 2));
        assertThat(journals.all().getFirst().damage()).isNull();
    }

    @Test
    void damageBeforeTheEndIsToldFromATear() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 4);
        byte[] whole = Files.readAllBytes(directory.resolve("m1.journal"));
        long end = journals.all().getFirst().endBytes();
        byte[] inTheMiddle = whole.clone();
        inTheMiddle[(int) end / 2 + 100] ^= 4;
        assertThat(JournalFile.parse("m1", inTheMiddle).damage()).contains("damaged");
        byte[] atTheFront = whole.clone();
        atTheFront[0] ^= 4;
        assertThat(JournalFile.parse("m1", atTheFront).damage()).contains("does not begin");
    }

    @Test
    void anEmptyFileIsAJournalByWhichNothingWasDone() throws IOException {
        Files.createFile(directory.resolve("m1.journal"));
        Files.createFile(directory.resolve("mirror.journal"));
        List<Journals.Found> all = new FileJournals(directory).all();
        assertThat(all).containsExactly(new Journals.Found("m1", null, 0, null));
    }

    @Test
    void anythingElseIsReadWithoutHarm() {
        long seed = 20_261_121;
        Random random = new Random(seed);
        for (int i = 0; i < 2_000; i++) {
            byte[] noise = new byte[random.nextInt(400)];
            random.nextBytes(noise);
            if (random.nextBoolean()) {
                System.arraycopy(JournalFile.MAGIC, 0, noise, 0, Math.min(noise.length, JournalFile.MAGIC.length));
            }
            assertThat(JournalFile.parse("m1", noise).last())
                    .as("seed %d, run %d", seed, i)
                    .isNull();
        }
    }

    @Test
    void isWrittenAnewInOneStep() throws IOException {
        FileJournals journals = new FileJournals(directory);
        write(journals, "m1", 3);
        try (Journal journal = journals.rewrite(record("m1", 1))) {
            journal.append(record("m1", 2));
        }
        Journals.Found found = journals.all().getFirst();
        assertThat(found.last()).isEqualTo(record("m1", 2));
        assertThat(directory.toFile().list()).containsExactly("m1.journal");
    }

    private static void write(FileJournals journals, String id, int records) throws IOException {
        try (Journal journal = journals.create(record(id, 0))) {
            for (int i = 1; i < records; i++) {
                journal.append(record(id, i));
            }
        }
    }

    private static MoveRecord record(String id, int sequence) {
        DiskRecord disk = new DiskRecord(
                "vm1",
                "raw",
                1 << 20,
                "slow",
                "/slow/vm1.raw",
                "1:2",
                "/fast/vm1.raw",
                Provisioning.THIN,
                new Qcow2Shape(3, 2L << 20, true, 8),
                sequence == 0 ? null : "1:3",
                Authority.SOURCE,
                false,
                false,
                false,
                List.of("4096 bytes at 65536"),
                1,
                new DiskRecord.Former(
                        "raw",
                        Provisioning.LAZY,
                        0.5,
                        "/slow/base.raw",
                        List.of(new PartRecord("/slow/vm1.data", "1:9")),
                        new SnapshotRecord(3, 7, true, "ab")),
                new DiskRecord.Proof(5, "keep", 1, false, null, null, List.of("1 bytes at 0"), false, null),
                new DiskRecord.Outcome(1, 2, 3, 4, 0.25, true, "aa", "bb", Mirroring.TRAILING, 20.5, "offload", null));
        return new MoveRecord(
                sequence,
                1_000 + sequence,
                id,
                "this host",
                Phase.COPY,
                MigrationState.RUNNING,
                null,
                1_000,
                "fast",
                true,
                false,
                "native",
                null,
                null,
                StrategySettings.of(Strategy.TRACKING, 250_000_000L).with(Strategy.MIRROR),
                null,
                new Grace(60_000, 70_000L),
                sequence == 0 ? null : List.of(base(sequence)),
                List.of(disk));
    }

    private static BaseRecord base(int sequence) {
        return new BaseRecord(
                "/slow/base.raw",
                "1:4",
                5,
                "raw",
                6,
                7,
                null,
                sequence > 1 ? "/slow/base.vmdk" : null,
                List.of("vm1"),
                "/fast/base.raw",
                "1:5",
                sequence > 1,
                sequence > 2,
                false,
                false,
                false,
                "cc");
    }
}
