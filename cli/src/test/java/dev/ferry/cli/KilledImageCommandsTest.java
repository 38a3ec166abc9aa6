package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.datastore.DiskFiles;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands that make and change images, killed with SIGKILL in the middle: what is left is whole, and the same command goes through. */
@Timeout(400)
final class KilledImageCommandsTest {
    private static final int ROUNDS = 4;
    private static final int ROUNDS_MAX = 40;
    private static final int SIZE = 24 << 20;
    /** Between two looks: no longer than a kill takes, and a processor is left to the command that is to begin. */
    private static final long LOOK_NANOS = 20_000;

    @TempDir
    Path directory;

    private Path raw(String name, int seed) throws IOException {
        byte[] bytes = new byte[SIZE];
        new Random(seed).nextBytes(bytes);
        Arrays.fill(bytes, SIZE / 3, SIZE / 2, (byte) 0);
        return Files.write(directory.resolve(name), bytes);
    }

    /** What is in the folder, by name. */
    private List<String> files() throws IOException {
        try (Stream<Path> all = Files.list(directory)) {
            return all.filter(file -> Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS))
                    .map(file -> file.getFileName().toString())
                    .sorted()
                    .toList();
        }
    }

    /** How long a command goes on after something has begun, in nanoseconds, at most; and whether it was there to be killed. */
    private record Run(boolean killed, long nanos) {}

    /**
     * Runs a command, and kills it some time after something has been seen, or lets it end.
     *
     * @param afterNanos -1: it is not killed
     */
    private Run run(BooleanSupplier begun, long afterNanos, String... command) throws Exception {
        Process process = new ProcessBuilder(Installation.command(Self.Part.DAEMON, List.of(command)))
                .redirectErrorStream(true)
                .redirectOutput(directory.resolve("log").toFile())
                .start();
        while (process.isAlive() && !begun.getAsBoolean()) {
            LockSupport.parkNanos(LOOK_NANOS);
        }
        long since = System.nanoTime();
        if (afterNanos >= 0) {
            LockSupport.parkNanos(afterNanos);
            process.destroyForcibly();
        }
        int status = process.waitFor();
        assertThat(status)
                .as(Files.readString(directory.resolve("log")))
                .isIn(afterNanos < 0 ? List.of(0) : List.of(0, 128 + 9));
        return new Run(status != 0, System.nanoTime() - since);
    }

    /** The locks of a process that was killed may stay for a moment: the kernel takes its ring down behind it. */
    private static void free(String format, Path... images) {
        for (Path image : images) {
            FerryHost.until(() -> !Stranger.run("qemu-img", "info", "-f", format, image)
                    .output()
                    .contains("lock"));
        }
    }

    /** Some time of that: often an early one, since a machine that is busy makes the end of a command long. */
    private static long instant(Random random, long wholeNanos) {
        return random.nextLong(1 + wholeNanos) >> random.nextInt(12);
    }

    /** A few rounds, and more where no command has been caught before it ended. */
    private static boolean goesOn(int round, int killed) {
        return round < ROUNDS || (killed == 0 && round < ROUNDS_MAX);
    }

    // ---- what is made

    @ParameterizedTest
    @CsvSource({
        "raw, raw, ''",
        "qcow2, qcow2, --compress=zstd",
        "qcow2, qcow2, --data-file=its.data",
        "vmdk, vmdk, --subformat=twoGbMaxExtentSparse",
        "vmdk, vmdk, --subformat=monolithicFlat",
        "vhd, vpc, ''",
        "vhdx, vhdx, --subformat=fixed"
    })
    void aConversionThatIsKilledLeavesNoTargetAndGoesThroughAgain(String format, String theirs, String option)
            throws Exception {
        Path source = raw("source.raw", 3);
        Path target = directory.resolve("target");
        List<String> words = new ArrayList<>(
                List.of("image", "convert", source.toString(), target.toString(), "--format=" + format));
        if (!option.isEmpty()) {
            words.add(option);
        }
        String[] command = words.toArray(String[]::new);
        List<String> before = files();
        BooleanSupplier begun = () -> Files.exists(directory.resolve(".target.partial"));
        long wholeNanos = run(begun, -1, command).nanos();
        List<String> made = files();
        assertThat(made).noneMatch(name -> name.startsWith("."));
        remove(before);
        Seeds.run(seed -> {
            Random random = new Random(seed);
            int killed = 0;
            for (int round = 0; goesOn(round, killed); round++) {
                Run run = run(begun, instant(random, wholeNanos), command);
                if (Files.exists(target)) {
                    // It was through, or all but.
                    free(theirs, target);
                    succeeds("qemu-img", "compare", "-f", "raw", "-F", theirs, source, target);
                    remove(before);
                } else {
                    assertThat(run.killed()).isTrue();
                    killed++;
                }
            }
            assertThat(killed).as("killed in the middle").isPositive();
            FerryHost.bare(command).done();
            assertThat(files()).isEqualTo(made);
            succeeds("qemu-img", "compare", "-f", "raw", "-F", theirs, source, target);
            FerryHost.bare(command).failed(1, "exists already");
        });
    }

    private void remove(List<String> allBut) throws IOException {
        for (String name : files()) {
            if (!allBut.contains(name) && !name.equals("log")) {
                Files.delete(directory.resolve(name));
            }
        }
    }

    /** What is not known to be of a command that was killed is not taken away. */
    @Test
    void aHiddenFileOfSomebodyElseStays() throws Exception {
        Path source = raw("source.raw", 5);
        Path hidden = Files.writeString(directory.resolve(".target.partial"), "of a daemon");
        String[] command = {
            "image", "convert", source.toString(), directory.resolve("target").toString(), "--format=qcow2"
        };
        FerryHost.bare(command).failed(1, ".target.partial");
        assertThat(hidden).hasContent("of a daemon");
        assertThat(files()).containsExactly(".target.partial", "source.raw");
        Path elsewhere = Files.writeString(directory.resolve("elsewhere"), "a file");
        Files.delete(hidden);
        Files.createSymbolicLink(hidden, elsewhere);
        FerryHost.bare(command).failed(1, ".target.partial");
        assertThat(elsewhere).hasContent("a file");
        Files.delete(hidden);
        Files.createSymbolicLink(directory.resolve("target"), directory.resolve("nowhere"));
        FerryHost.bare(command).failed(1, "exists already");
        assertThat(directory.resolve("nowhere")).doesNotExist();
        Files.delete(directory.resolve("target"));
        try (MakersMark _ = MakersMark.take(directory.resolve("target"))) {
            Process other = new ProcessBuilder(Installation.command(Self.Part.DAEMON, List.of(command)))
                    .redirectErrorStream(true)
                    .redirectOutput(directory.resolve("log").toFile())
                    .start();
            assertThat(other.waitFor()).isEqualTo(1);
            assertThat(directory.resolve("log")).content().contains("another command makes");
            // Which gives the lock back: it belongs to the process.
            FerryHost.bare(command).failed(1, "another command makes");
        }
        FerryHost.bare(command).done();
        assertThat(Files.getPosixFilePermissions(directory.resolve("target"))).hasSize(2);
    }

    /** As a kill leaves it between the publishing of a part and that of the disk; one that no command has left stays. */
    @Test
    void aPartThatWasCompleteIsInNobodysWay() throws Exception {
        Path source = raw("source.raw", 6);
        Path target = directory.resolve("target");
        Path part = directory.resolve("target-flat.vmdk");
        String[] command = {
            "image", "convert", source.toString(), target.toString(), "--format=vmdk", "--subformat=monolithicFlat"
        };
        FerryHost.bare(command).done();
        List<String> made = files();
        for (Path file : List.of(target, part)) {
            Files.writeString(file.resolveSibling("." + file.getFileName() + ".maker"), DiskFiles.identityOf(file));
        }
        Files.move(target, directory.resolve(".target.partial"));
        FerryHost.bare(command).done();
        assertThat(files()).isEqualTo(made);
        succeeds("qemu-img", "compare", "-f", "raw", "-F", "vmdk", source, target);
        Files.delete(target);
        FerryHost.bare(command).failed(1, "target-flat.vmdk exists already");
        assertThat(part).hasSameBinaryContentAs(source);
    }

    // ---- what is changed

    private static void sound(Path image) {
        Stranger check = Stranger.run("qemu-img", "check", "--output=json", "-f", "qcow2", image);
        assertThat(check.exitCode()).as(check.output()).isIn(0, 3);
        assertThat(check.output()).doesNotContain("\"corruptions\"", "\"check-errors\": 1");
    }

    private static boolean equal(Path raw, Path image) {
        Stranger compared = Stranger.run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image);
        assertThat(compared.exitCode()).as(compared.output()).isIn(0, 1);
        return compared.exitCode() == 0;
    }

    private static List<String> snapshots(Path image) {
        return FerryHost.bare("image", "snapshot", image.toString(), "--json")
                .done()
                .json()
                .valueStream()
                .map(one -> one.path("name").asString())
                .toList();
    }

    /** Has changed since: what it is, and how long. */
    private static BooleanSupplier changes(Path... images) throws IOException {
        List<Object> before = new ArrayList<>();
        for (Path image : images) {
            before.add(facts(image));
        }
        return () -> {
            for (int i = 0; i < images.length; i++) {
                if (!facts(images[i]).equals(before.get(i))) {
                    return true;
                }
            }
            return false;
        };
    }

    private static Object facts(Path image) {
        try {
            return Files.readAttributes(image, "unix:size,ctime").toString();
        } catch (IOException failed) {
            throw new AssertionError(failed);
        }
    }

    /** What is to hold of an image after a kill: it is as it was, or as it is to be. */
    private interface Legal {
        void holds(boolean done) throws Exception;
    }

    /** Does a change again and again to the same image, killed at some instant of it; then without. */
    private void killed(Path[] images, String[] command, Legal legal) throws Exception {
        Path kept = Files.createTempDirectory(directory, "before");
        for (Path image : images) {
            Files.copy(image, kept.resolve(image.getFileName()));
        }
        long wholeNanos = run(changes(images), -1, command).nanos();
        legal.holds(true);
        Seeds.run(seed -> {
            Random random = new Random(seed);
            int killed = 0;
            for (int round = 0; goesOn(round, killed); round++) {
                for (Path image : images) {
                    Files.copy(kept.resolve(image.getFileName()), image, StandardCopyOption.REPLACE_EXISTING);
                }
                Run run = run(changes(images), instant(random, wholeNanos), command);
                killed += run.killed() ? 1 : 0;
                free("qcow2", images);
                legal.holds(!run.killed());
            }
            assertThat(killed).as("killed before it ended").isPositive();
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"--cluster-size=4K", "--extended-l2"})
    void aResizeThatIsKilledLeavesOneSizeOrTheOther(String option) throws Exception {
        Path raw = raw("source.raw", 7);
        Path image = directory.resolve("image");
        FerryHost.bare("image", "convert", raw.toString(), image.toString(), "--format=qcow2", option)
                .done();
        for (int to : new int[] {SIZE + (8 << 20) + 512, SIZE / 2 + 1536}) {
            Path after = Files.write(directory.resolve("after"), Arrays.copyOf(Files.readAllBytes(raw), to));
            Path begins = Files.copy(image, directory.resolve("resized-" + to));
            String[] resize = {"image", "resize", begins.toString(), String.valueOf(to), "--format=qcow2", "--shrink"};
            killed(new Path[] {begins}, resize, done -> {
                sound(begins);
                boolean isAfter = Images.size("qcow2", begins) == to;
                assertThat(Images.size("qcow2", begins)).isIn((long) SIZE, (long) to);
                assertThat(isAfter || !done).isTrue();
                assertThat(equal(isAfter ? after : raw, begins)).isTrue();
                FerryHost.bare(resize).done();
                sound(begins);
                assertThat(equal(after, begins)).isTrue();
            });
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"--create", "--apply", "--delete"})
    void aSnapshotThatIsKilledIsThereOrNot(String what) throws Exception {
        Path old = raw("old.raw", 8);
        Path now = raw("now.raw", 9);
        Path image = directory.resolve("image");
        FerryHost.bare("image", "convert", old.toString(), image.toString(), "--format=qcow2")
                .done();
        if (!what.equals("--create")) {
            FerryHost.bare("image", "snapshot", image.toString(), "--create", "one")
                    .done();
        }
        succeeds("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", now, image);
        String[] command = {"image", "snapshot", image.toString(), what, "one"};
        killed(new Path[] {image}, command, done -> {
            sound(image);
            boolean there = snapshots(image).equals(List.of("one"));
            assertThat(snapshots(image)).isIn(List.of("one"), List.of());
            switch (what) {
                case "--create" -> {
                    assertThat(there || !done).isTrue();
                    assertThat(equal(now, image)).isTrue();
                    if (!there) {
                        FerryHost.bare(command).done();
                    }
                    succeeds("qemu-img", "snapshot", "-a", "one", image);
                    assertThat(equal(now, image)).isTrue();
                }
                case "--apply" -> {
                    assertThat(there).isTrue();
                    assertThat(equal(old, image) || (!done && equal(now, image)))
                            .isTrue();
                    FerryHost.bare(command).done();
                    assertThat(equal(old, image)).isTrue();
                }
                default -> {
                    assertThat(!there || !done).isTrue();
                    assertThat(equal(now, image)).isTrue();
                    if (there) {
                        succeeds("qemu-img", "snapshot", "-a", "one", image);
                        assertThat(equal(old, image)).isTrue();
                    }
                }
            }
            sound(image);
        });
    }

    @Test
    void aCommitThatIsKilledLeavesAnOverlayThatReadsTheSame() throws Exception {
        Path old = raw("old.raw", 10);
        Path now = raw("now.raw", 11);
        Path base = directory.resolve("base");
        Path overlay = directory.resolve("overlay");
        FerryHost.bare("image", "convert", old.toString(), base.toString(), "--format=qcow2")
                .done();
        FerryHost.bare(
                        "image",
                        "create",
                        overlay.toString(),
                        "--format=qcow2",
                        "--backing=base",
                        "--backing-format=qcow2")
                .done();
        succeeds("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", now, overlay);
        String[] command = {"image", "commit", overlay.toString()};
        killed(new Path[] {base, overlay}, command, done -> {
            sound(base);
            sound(overlay);
            assertThat(equal(now, overlay)).isTrue();
            FerryHost.bare(command).done();
            assertThat(equal(now, base)).isTrue();
            sound(base);
        });
    }

    /** In files of their own: the text names those of one size or of the other, and what it does not name is in nobody's way. */
    @Test
    void aResizeOfVmdkInSeveralFilesThatIsKilledLeavesOneSizeOrTheOther() throws Exception {
        Path raw = raw("source.raw", 12);
        Path image = directory.resolve("split.vmdk");
        FerryHost.bare(
                        "image",
                        "convert",
                        raw.toString(),
                        image.toString(),
                        "--format=vmdk",
                        "--subformat=twoGbMaxExtentSparse")
                .done();
        List<String> before = files();
        long large = 5L << 30;
        Seeds.run(seed -> {
            Random random = new Random(seed);
            long wholeNanos = 0;
            int killed = 0;
            for (int round = 0; goesOn(round / 2, killed); round++) {
                long had = Images.size("vmdk", image);
                long to = had == large ? SIZE : large;
                String[] resize = {"image", "resize", image.toString(), String.valueOf(to), "--format=vmdk", "--shrink"
                };
                List<String> names = files();
                BooleanSupplier begun = () -> {
                    try {
                        return !files().equals(names);
                    } catch (IOException | UncheckedIOException changing) {
                        return true;
                    }
                };
                Run run = run(begun, round == 0 ? -1 : instant(random, wholeNanos), resize);
                wholeNanos = round == 0 ? run.nanos() : wholeNanos;
                killed += run.killed() ? 1 : 0;
                free("vmdk", image);
                long has = Images.size("vmdk", image);
                assertThat(has).isIn(had, to);
                succeeds("qemu-img", "check", "-f", "vmdk", image);
                succeeds("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, image);
                FerryHost.bare("image", "check", image.toString(), "--format=vmdk")
                        .done();
                FerryHost.bare(resize).done();
                assertThat(Images.size("vmdk", image)).isEqualTo(to);
            }
            assertThat(killed).isPositive();
        });
        assertThat(files())
                .containsAll(
                        before.stream().filter(name -> name.endsWith("raw")).toList());
    }
}
