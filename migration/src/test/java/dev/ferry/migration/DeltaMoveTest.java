package dev.ferry.migration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.journal.Grace;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OpenDisk;
import dev.ferry.stack.Stacks;
import dev.ferry.testkit.Stranger;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Disks that are moved with what they lie over, in every format, in one file and in several. */
class DeltaMoveTest extends EngineRig {
    private Layers layers;

    @BeforeEach
    void begin() {
        layers = new Layers(world);
    }

    private static MigrationRequest chain(String... disks) {
        return new MigrationRequest(List.of(disks), "fast", null, 0, true, false).withChain();
    }

    private List<String> with(Deltas kind, String... disks) {
        List<String> all = new ArrayList<>(kind.files());
        for (String disk : disks) {
            all.add(kind.disk(disk));
        }
        return all;
    }

    private static List<String> atSource(Deltas kind, String disk) {
        List<String> all = new ArrayList<>(kind.files());
        all.addAll(kind.filesOf(disk));
        return all;
    }

    /** The disk at the target as strangers see it, and as it is after it has been closed and opened. */
    private void reads(Deltas kind, String name, byte[] content) throws Exception {
        OpenDisk disk = world.openDisk(name);
        disk.flush();
        while (world.stacks.find(name).isPresent()) {
            world.stacks.release(disk);
        }
        Path file = directory.resolve("fast").resolve(kind.disk(name));
        Path plain = layers.plain(world.openDisk(name));
        world.stacks.release(world.stacks.find(name).orElseThrow());
        assertThat(Arrays.mismatch(Files.readAllBytes(plain), content)).isEqualTo(-1);
        if (kind.ofQemu()) {
            String format = kind.format.qemuText();
            // QEMU looks for a data file from where it is itself.
            String there = "cd " + file.getParent() + " && exec qemu-img ";
            Stranger.succeeds("sh", "-c", there + "compare -f raw -F " + format + " " + plain + " " + file);
            Stranger.succeeds("sh", "-c", there + "check -f " + format + " " + file);
        }
    }

    @ParameterizedTest
    @EnumSource(Deltas.class)
    void theDiskLiesOverTheSameAtTheTarget(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 1), 3);
        List<String> before = contents("slow", kind.files());
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 4).start();
        guest.goOn(50);
        String id = engine.start(chain("vm1")).id();
        MigrationStatus done = assertDone(id);
        guest.goOn(100);
        guest.stop();
        disk.flush();
        guest.check(layers.plain(disk));
        assertThat(done.verified()).isTrue();
        assertThat(done.bases()).hasSize(kind.files().size()).allMatch(base -> base.digest() != null);
        assertThat(world.names("fast")).containsExactlyInAnyOrderElementsOf(with(kind, "vm1"));
        assertThat(world.names("slow")).isEmpty();
        assertThat(layers.names("vm1")).hasSize(3).allMatch(name -> name.startsWith("fast/"));
        assertThat(contents("fast", kind.files()))
                .as("under their names they are the same, byte for byte")
                .isEqualTo(before);
        reads(kind, "vm1", Files.readAllBytes(layers.plain(disk)));
    }

    private List<String> contents(String datastore, List<String> names) throws Exception {
        List<String> all = new ArrayList<>();
        for (String name : names) {
            byte[] bytes = Files.readAllBytes(directory.resolve(datastore).resolve(name));
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(bytes);
            all.add(name + " " + HexFormat.of().formatHex(digest));
        }
        return all;
    }

    @ParameterizedTest
    @EnumSource(Deltas.class)
    void whereNamesAreTakenTheCopiesNameEachOtherByTheirNewOnes(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 5), 7);
        for (String name : kind.files()) {
            Files.writeString(directory.resolve("fast").resolve(name), name);
        }
        List<String> before = contents("fast", kind.files());
        MigrationStatus done = assertDone(engine.start(chain("vm1")).id());
        assertThat(done.bases()).allMatch(base -> base.state().equals("copied"));
        assertThat(contents("fast", kind.files())).isEqualTo(before);
        for (String name : kind.files()) {
            Files.delete(directory.resolve("fast").resolve(name));
        }
        assertThat(world.names("fast"))
                .hasSize(kind.files().size() + 1)
                .allMatch(name -> name.startsWith("vm1.") || name.contains("-2."));
        assertThat(world.names("slow")).isEmpty();
        reads(kind, "vm1", content);
    }

    @ParameterizedTest
    @EnumSource(Deltas.class)
    void whatTwoDisksShareIsFoundByTheSecondAndDeletedWithTheLast(Deltas kind) throws Exception {
        byte[] below = kind.below(world, 8);
        byte[] one = kind.over(world, "vm1", below, 10);
        byte[] two = kind.over(world, "vm2", below, 11);
        MigrationStatus first = assertDone(engine.start(chain("vm1")).id());
        assertThat(first.bases()).allMatch(base -> base.source().equals("kept"));
        assertThat(world.names("slow")).containsExactlyInAnyOrderElementsOf(atSource(kind, "vm2"));
        MigrationStatus second = assertDone(engine.start(chain("vm2")).id());
        assertThat(second.bases())
                .allMatch(base -> base.state().equals("found") && base.source().equals("deleted"));
        assertThat(world.names("fast")).containsExactlyInAnyOrderElementsOf(with(kind, "vm1", "vm2"));
        assertThat(world.names("slow")).isEmpty();
        reads(kind, "vm1", one);
        reads(kind, "vm2", two);
    }

    @ParameterizedTest
    @EnumSource(Deltas.class)
    void whatTheDiskDoesNotHaveItDoesNotGet(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 12), 14);
        String before = layers.maps("vm1").getFirst();
        assertDone(engine.start(chain("vm1")).id());
        assertThat(layers.maps("vm1").getFirst()).isEqualTo(before);
        reads(kind, "vm1", content);
    }

    @ParameterizedTest
    @EnumSource(Deltas.class)
    void theWayBackLeadsToTheOldChain(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 15), 17);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 18).start();
        String id = engine.start(chain("vm1").withGrace(Grace.UNTIL_COMMIT)).id();
        await(id, status -> status.wayBack() != null && status.wayBack().inStep());
        guest.goOn(50);
        assertThat(engine.rollback(id).state()).isEqualTo(MigrationState.ROLLED_BACK);
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(layers.plain(disk));
        assertThat(world.names("fast")).isEmpty();
        assertThat(world.names("slow")).containsExactlyInAnyOrderElementsOf(atSource(kind, "vm1"));
    }

    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VMDK_SPLIT", "VHD", "VHDX"})
    void byTrackingToo(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 41), 43);
        OpenDisk disk = world.openDisk("vm1");
        Guest guest = new Guest(disk, content, 44).start();
        guest.goOn(50);
        StrategySettings tracking = StrategySettings.of(Strategy.TRACKING, DOWNTIME_NANOS);
        assertDone(engine.start(chain("vm1").by(tracking)).id());
        guest.goOn(50);
        guest.stop();
        disk.flush();
        guest.check(layers.plain(disk));
        assertThat(world.names("fast")).containsExactlyInAnyOrderElementsOf(with(kind, "vm1"));
    }

    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VMDK_SPLIT", "VHD", "VHDX"})
    void aMoveThatGoesOnAfterACrashDoesNotFlatten(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 45), 47);
        layers.fill(world.openDisk("vm1"), content, 0, 2 * World.MIB);
        String before = layers.maps("vm1").getFirst();
        String id = engine.start(new MigrationRequest(List.of("vm1"), "fast", null, SLOW, false, false).withChain())
                .id();
        await(
                id,
                status -> status.phase() == Phase.COPY
                        && status.disks().getFirst().bytesCopied() > 0);
        world.reboot();
        engine = world.engine;
        assertThat(engine.recover()).hasSize(1);
        engine.goOn();
        engine.rate(id, 0);
        assertThat(assertDone(id).resumed()).isNotNull();
        assertThat(layers.maps("vm1").getFirst()).isEqualTo(before);
        reads(kind, "vm1", content);
    }

    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VMDK_SPLIT", "VHD", "VHDX"})
    void aDeltaBecomesAnOverlayInQcow2(Deltas kind) throws Exception {
        byte[] content = kind.over(world, "vm1", kind.below(world, 19), 21);
        MigrationRequest request = new MigrationRequest(
                        List.of("vm1"),
                        "fast",
                        ImageFormat.QCOW2,
                        null,
                        0,
                        true,
                        false,
                        0,
                        chain("vm1").pace(),
                        StrategySettings.DEFAULT)
                .withChain();
        assertDone(engine.start(request).id());
        assertThat(layers.names("vm1")).hasSize(3).first().isEqualTo("fast/vm1.qcow2");
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    @ParameterizedTest
    @EnumSource(
            value = ImageFormat.class,
            names = {"VMDK", "QCOW2"})
    void theFilesOfADiskAreDeletedWithIt(ImageFormat format) throws Exception {
        byte[] content = Deltas.inTwo(world, "vm1", format, 25);
        assertThat(world.names("slow")).hasSize(2);
        assertDone(engine.start(MigrationRequest.of("vm1", "fast")).id());
        assertThat(world.names("slow")).isEmpty();
        assertThat(Files.readAllBytes(layers.plain(world.openDisk("vm1")))).isEqualTo(content);
    }

    @Test
    void aFileOfTwoDisksStaysForTheOtherAndOneOfAKeptSourceStays() throws Exception {
        byte[] _ = Deltas.inTwo(world, "vm1", ImageFormat.VMDK, 26);
        Files.copy(layers.file("vm1.vmdk"), layers.file("other.vmdk"));
        assertDone(engine.start(MigrationRequest.of("vm1", "fast")).id());
        assertThat(world.names("slow")).containsExactlyInAnyOrder("other.vmdk", "vm1-flat.vmdk");
        byte[] _ = Deltas.inTwo(world, "vm2", ImageFormat.VMDK, 27);
        assertDone(engine.start(new MigrationRequest(List.of("vm2"), "fast", null, 0, true, true))
                .id());
        assertThat(world.names("slow")).contains("vm2.vmdk", "vm2-flat.vmdk");
    }

    @ParameterizedTest
    @EnumSource(
            value = ImageFormat.class,
            names = {"VMDK", "QCOW2"})
    void afterAnyCrashTheFilesOfADiskAreDeletedWithIt(ImageFormat format) throws Exception {
        int records = CutAfter.eachRecord(directory, 40, cut -> {
            World other = cut.world();
            byte[] content = Deltas.inTwo(other, "vm1", format, cut.records());
            boolean whole = cut.moveToTheEnd(MigrationRequest.of("vm1", "fast"));
            assertThat(other.names("slow")).as(cut.toString()).isEmpty();
            assertThat(other.names("fast")).containsExactly("vm1." + format.text());
            assertThat(Files.readAllBytes(new Layers(other).plain(other.openDisk("vm1"))))
                    .isEqualTo(content);
            return whole;
        });
        assertThat(records).isGreaterThan(8);
    }

    /** Flattened, a disk takes what its whole chain has; moved as a chain all files together take the same. */
    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VMDK_SPLIT", "VHD", "QCOW2_DATA_FILE"})
    void roomIsPlannedForTheWholeChain(Deltas kind) throws Exception {
        byte[] _ = kind.over(world, "vm1", kind.below(world, 28), 30);
        long all = 0;
        for (String name : world.names("slow")) {
            all += Stacks.allocatedBytes(layers.file(name));
        }
        Planner planner = new Planner(world, world.stacks);
        long flattened = planner.plan(MigrationRequest.of("vm1", "fast"), 0).neededBytes();
        assertThat(flattened).isEqualTo(Math.min(all, Layers.SIZE));
        assertThat(planner.plan(chain("vm1"), 0).neededBytes()).isEqualTo(all);
    }

    @ParameterizedTest
    @EnumSource(
            value = Deltas.class,
            names = {"VMDK_FLAT", "VHDX", "QCOW2_DATA_FILE"})
    void aRehearsalTellsOfAllFiles(Deltas kind) throws Exception {
        byte[] _ = kind.over(world, "vm1", kind.below(world, 38), 40);
        var report = engine.rehearse(chain("vm1"));
        assertThat(report.go()).as(report.toString()).isTrue();
        assertThat(report.bases())
                .extracting(base -> base.targetName())
                .containsExactlyInAnyOrderElementsOf(kind.files());
        assertThat(world.names("fast")).isEmpty();
    }

    @Test
    void aFileOfADiskIsNotTakenForOneBelow() throws Exception {
        Deltas kind = Deltas.VMDK_FLAT;
        byte[] content = kind.over(world, "vm1", kind.below(world, 22), 24);
        for (String name : List.of("base.vmdk", "base-flat.vmdk")) {
            Files.copy(layers.file(name), directory.resolve("fast").resolve(name));
        }
        Path theirs = directory.resolve("fast/base.vmdk").toRealPath();
        world.know(new DiskSpec("theirs", theirs, Provisioning.THIN, false, false, ImageFormat.VMDK, Layers.SIZE));
        MigrationStatus done = assertDone(engine.start(chain("vm1")).id());
        assertThat(done.bases()).allMatch(base -> base.state().equals("copied"));
        assertThat(world.names("fast")).contains("base-2.vmdk", "base-flat-2.vmdk");
        reads(kind, "vm1", content);
    }

    /** A flat extent is the guest's, whatever it has written there, and is brought as it is. */
    @Test
    void whatAGuestHasWrittenIsNotTakenForNames() throws Exception {
        Deltas kind = Deltas.VMDK_FLAT;
        byte[] below = kind.below(world, 31);
        byte[] text =
                ("# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\nRW 8192 FLAT \"base-flat.vmdk\" 0\n")
                        .getBytes(StandardCharsets.US_ASCII);
        try (RandomAccessFile flat =
                new RandomAccessFile(layers.file("base-flat.vmdk").toFile(), "rw")) {
            flat.write(text);
        }
        String before = contents("slow", List.of("base-flat.vmdk")).getFirst();
        byte[] _ = kind.over(world, "vm1", below, 33);
        for (String name : kind.files()) {
            Files.writeString(directory.resolve("fast").resolve(name), name);
        }
        assertDone(engine.start(chain("vm1")).id());
        assertThat(contents("fast", List.of("base-flat-2.vmdk")).getFirst())
                .isEqualTo(before.replace("base-flat", "base-flat-2"));
    }

    /** A store that does not answer while one move is planned holds up no other. */
    @Test
    void nobodyWaitsForThePlanningOfAnother() throws Exception {
        byte[] _ = Deltas.VMDK.over(world, "vm1", Deltas.VMDK.below(world, 34), 36);
        byte[] _ = world.disk("vm2", World.MIB, Provisioning.THIN, 37);
        CountDownLatch asked = new CountDownLatch(1);
        CountDownLatch answers = new CountDownLatch(1);
        world.whenOpening = file -> {
            if (file.endsWith("base.vmdk") && asked.getCount() > 0) {
                asked.countDown();
                try {
                    assertThat(answers.await(100, TimeUnit.SECONDS)).isTrue();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            }
        };
        CompletableFuture<String> first = new CompletableFuture<>();
        Thread.startVirtualThread(() -> {
            try {
                first.complete(engine.start(chain("vm1")).id());
            } catch (BlockException | RuntimeException failed) {
                first.completeExceptionally(failed);
            }
        });
        assertThat(asked.await(100, TimeUnit.SECONDS)).isTrue();
        try {
            assertDone(engine.start(MigrationRequest.of("vm2", "fast")).id());
        } finally {
            answers.countDown();
        }
        assertDone(first.get(100, TimeUnit.SECONDS));
    }

    @Test
    void aCircleOfParentsIsNotOpenedToBeWritten() throws Exception {
        for (String name : List.of("vm1", "other")) {
            String parent = name.equals("vm1") ? "other" : "vm1";
            Files.writeString(
                    layers.file(name + ".vmdk"),
                    "# Disk DescriptorFile\nversion=1\nCID=" + name.length() + "\nparentCID=" + parent.length()
                            + "\ncreateType=\"twoGbMaxExtentSparse\"\nparentFileNameHint=\"" + parent
                            + ".vmdk\"\nRW 8192 SPARSE \"absent.vmdk\"\n");
        }
        Path file = layers.file("vm1.vmdk");
        world.know(new DiskSpec("vm1", file, Provisioning.THIN, false, false, ImageFormat.VMDK, Layers.SIZE));
        assertThatThrownBy(() -> world.openDisk("vm1"))
                .isInstanceOf(BlockException.class)
                .hasMessageContaining("circle");
        refused(ErrorKind.INVALID, "circle", () -> engine.start(chain("vm1")));
        assertThat(world.names("fast")).isEmpty();
    }
}
