package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.ErrorKind;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.rehearsal.Outlook;
import dev.ferry.migration.rehearsal.Rehearsal;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.migration.rehearsal.RehearsalReport.Disk;
import dev.ferry.migration.rehearsal.RehearsalReport.Finding;
import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import dev.ferry.migration.rehearsal.Verdict;
import dev.ferry.stack.OpenDisk;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a rehearsal finds out, on real files and loops. */
class RehearsalTest extends EngineRig {
    private static MigrationRequest to(String datastore, Provisioning provisioning, String... disks) {
        return new MigrationRequest(List.of(disks), datastore, provisioning, 0, true, false);
    }

    private static Finding finding(RehearsalReport report, String what) {
        return report.findings().stream()
                .filter(finding -> finding.what().equals(what))
                .findFirst()
                .orElseThrow(() -> new AssertionError("nothing on " + what + " in " + report));
    }

    private void assertNothingLeft() {
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).allMatch(name -> name.startsWith("vm"));
        assertThat(engine.list()).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void saysGoAndWhatThereIsToCopy(boolean direct) throws Exception {
        world.direct = direct;
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 1);
        RehearsalReport report = engine.rehearse(MigrationRequest.of("vm1", "fast"));
        assertThat(report.go()).as(report.toString()).isTrue();
        assertThat(report.findings())
                .extracting(Finding::what)
                .contains("rights", "size", "direct", "locks", "map", "zero", "discard", "room");
        assertThat(report.findings()).extracting(Finding::verdict).doesNotContain(Verdict.NO);
        Disk disk = report.disks().getFirst();
        assertThat(disk.sizeBytes()).isEqualTo(SIZE);
        assertThat(disk.dataBytes()).isBetween(SIZE / 2L, (long) SIZE - 1);
        assertThat(Objects.requireNonNull(disk.dataBytes()) + Objects.requireNonNull(disk.holeBytes()))
                .isEqualTo(SIZE);
        assertThat(disk.mover()).isIn("native", "portable");
        assertThat(disk.guestBytesPerSecond()).isNull();
        assertRange(disk.bytesPerSecondRead());
        assertRange(disk.addedMillis());
        assertRange(report.bytesPerSecondWritten());
        assertRange(report.bytesPerSecondRead());
        assertRange(report.writeMillis());
        assertRange(report.flushMillis());
        assertRange(report.seconds());
        assertThat(Files.readAllBytes(world.path("vm1"))).isEqualTo(content);
        assertThat(world.stacks.open()).isEmpty();
        assertNothingLeft();
    }

    private static void assertRange(@Nullable Range found) {
        Range range = Objects.requireNonNull(found);
        assertThat(range.least()).isNotNegative().isLessThanOrEqualTo(range.most());
        assertThat(range.most()).isPositive();
    }

    @Test
    void seesWhatTheGuestDoesAndHarmsNothing() throws Exception {
        byte[] content = world.disk("vm1", SIZE, Provisioning.THIN, 2);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 12).start();
        guest.goOn(200);
        long reads = disk.stats().read().bytes();
        RehearsalReport report = engine.rehearse(MigrationRequest.of("vm1", "fast"));
        guest.stop();
        assertThat(report.go()).as(report.toString()).isTrue();
        assertThat(report.disks().getFirst().guestBytesPerSecond()).isPositive();
        assertThat(Objects.requireNonNull(report.room()).growthBytes()).isPositive();
        assertThat(reads).isPositive();
        disk.flush();
        guest.check(world.path("vm1"));
        assertNothingLeft();
        assertDone(engine.start(MigrationRequest.of("vm1", "fast")).id());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 511, 512, 4096, 12_345, World.MIB + 4097})
    void takesADiskOfAnySize(int size) throws Exception {
        world.disk("vm1", size, Provisioning.THIN, 3);
        RehearsalReport report = engine.rehearse(MigrationRequest.of("vm1", "fast"));
        assertThat(report.go()).as(report.toString()).isTrue();
        assertThat(finding(report, "size").text()).contains("exactly " + size + " bytes");
        assertNothingLeft();
    }

    @Test
    void rehearsesAGroupAsOne() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 4);
        world.disk("vm2", 2 * SIZE, Provisioning.THIN, 5);
        RehearsalReport both = engine.rehearse(to("fast", Provisioning.THIN, "vm1", "vm2"));
        RehearsalReport thick = engine.rehearse(to("fast", Provisioning.LAZY, "vm1", "vm2"));
        assertThat(both.disks()).extracting(Disk::name).containsExactly("vm1", "vm2");
        assertThat(Objects.requireNonNull(both.room()).neededBytes())
                .isEqualTo(both.disks().stream()
                        .mapToLong(disk -> Objects.requireNonNull(disk.dataBytes()))
                        .sum());
        assertThat(Objects.requireNonNull(thick.room()).neededBytes()).isEqualTo(3L * SIZE);
        assertNothingLeft();
    }

    @Test
    void namesEveryThingThatIsInTheWay() throws Exception {
        world.disk("vm1", World.MIB, Provisioning.THIN, 6);
        world.disk("vm2", World.MIB, Provisioning.THIN, 7);
        world.disk("vm3", World.MIB, Provisioning.THIN, 8);
        try (RandomAccessFile file = new RandomAccessFile(world.path("vm1").toFile(), "rw")) {
            file.setLength(world.datastore("fast").space().freeBytes() + (1L << 30));
        }
        Files.createFile(world.datastore("fast").fileOf("vm2", "raw"));
        String id = engine.start(slowly("vm3", "third", 1)).id();
        RehearsalReport report = engine.rehearse(to("fast", Provisioning.LAZY, "vm1", "vm2", "vm3"));
        assertThat(report.go()).isFalse();
        assertThat(report.findings())
                .filteredOn(finding -> finding.verdict() == Verdict.NO)
                .extracting(Finding::text)
                .anyMatch(text -> text.contains("vm2.raw exists already"))
                .anyMatch(text -> text.contains("by migration " + id))
                .anyMatch(text -> text.contains("bytes are needed"));
        assertThat(report.disks()).extracting(Disk::name).containsExactly("vm1");
        assertThat(world.names("fast")).containsExactly("vm2.raw");
        refused(ErrorKind.NOT_FOUND, "none of that name", () -> engine.rehearse(MigrationRequest.of("x", "fast")));
        refused(ErrorKind.NOT_FOUND, "none of that name", () -> engine.rehearse(MigrationRequest.of("vm1", "x")));
        engine.cancel(id);
    }

    @ParameterizedTest
    @EnumSource(
            value = FlakyDevice.Mood.class,
            names = {"NO_READS", "NO_CHANGES", "FULL", "NO_FLUSHES"})
    void aTargetThatErrsIsNoTarget(FlakyDevice.Mood mood) throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 9);
        world.trials = mood;
        RehearsalReport report = engine.rehearse(MigrationRequest.of("vm1", "fast"));
        assertThat(report.go()).isFalse();
        assertThat(finding(report, "use").verdict()).isEqualTo(Verdict.NO);
        assertThat(report.seconds()).isNull();
        assertThat(finding(report, "time").verdict()).isEqualTo(Verdict.UNKNOWN);
        assertNothingLeft();
    }

    @Test
    void aTargetThatDoesNotAnswerIsNotWaitedForForEver() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 10);
        world.trials = FlakyDevice.Mood.SILENT;
        Rehearsal impatient =
                new Rehearsal(world.stacks, task -> Thread.ofVirtual().start(task), System::nanoTime, 300_000_000L);
        MigrationRequest request = MigrationRequest.of("vm1", "fast");
        Outlook outlook = new Planner(world, world.stacks).outlook(request, 0, _ -> {}, "native");
        RehearsalReport report = impatient.run(outlook);
        assertThat(report.go()).isFalse();
        assertThat(finding(report, "answer").text()).contains("has not answered");
        // A start finds what it left.
        assertThat(world.names("fast")).hasSize(1).allMatch(name -> name.matches("\\.ferry-rehearsal-.*\\.trial"));
    }

    @Test
    void aRateBoundsTheForecast() throws Exception {
        world.disk("vm1", SIZE, Provisioning.THIN, 11);
        MigrationRequest bounded = new MigrationRequest(List.of("vm1"), "fast", null, World.MIB, true, false);
        RehearsalReport report = engine.rehearse(bounded);
        // Copied and compared, each at no more than the rate.
        assertThat(Objects.requireNonNull(report.seconds()).least()).isGreaterThan(2.0 * 3);
    }
}
