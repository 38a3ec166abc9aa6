package dev.ferry.cli.vm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.testkit.Requires;
import java.io.IOException;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** The disk of a real, working virtual machine moves, and its daemon dies, and the guest does not notice. */
@Tag("slow")
final class MachineMoveTest {
    private static final Duration CHECK_LIMIT = Duration.ofMinutes(2);

    @TempDir
    private static Path shared;

    private static GuestImage image;

    @BeforeAll
    static void makeGuest() throws IOException {
        for (String program : List.of("qemu-system-x86_64", "busybox", "mke2fs", "e2fsck", "debugfs")) {
            Requires.that(Programs.find(program).isPresent(), "the program " + program);
        }
        Requires.that(
                GuestImage.findKernel().isPresent(), "a kernel in /boot with its modules (linux-image-cloud-amd64)");
        image = GuestImage.make(shared);
    }

    @Test
    void theDiskOfAWorkingGuestMovesTwice(@TempDir Path directory) throws Exception {
        try (FerryHost ferry = new FerryHost(directory.resolve("ferry"))) {
            List<Path> stores = addDatastores(ferry, directory, "one", "two", "three");
            String uri = makeDisk(ferry);
            try (GuestMachine guest = start(directory, uri, 1)) {
                guest.awaitReady();
                guest.awaitTicks(60);
                for (String datastore : List.of("two", "three")) {
                    long ticksBefore = guest.ticks();
                    guest.beginGaps();
                    JsonNode move = ferry.json("migrate", "machine", "--to", datastore, "--rate", "2M");
                    assertThat(move.path("state").asString())
                            .as(move.toString())
                            .isEqualTo("done");
                    assertThat(guest.ticks() - ticksBefore)
                            .as("writes during the move")
                            .isPositive();
                    assertThat(guest.longestGapMillis())
                            .as("longest stall of the guest")
                            .isLessThan(3_000);
                    JsonNode disk = ferry.json("disk", "show", "machine");
                    assertThat(disk.path("datastore").asString()).isEqualTo(datastore);
                    guest.awaitTicks(20);
                }
                assertThat(guest.stop()).as(report(guest, ferry)).startsWith("clean ");
                Path disk = Path.of(
                        ferry.json("disk", "show", "machine").path("path").asString());
                assertThat(disk).startsWithRaw(stores.get(2));
                ferry.run("disk", "detach", "machine");
                assertDiskHolds(disk, guest, directory);
                assertThat(filesIn(stores.get(0)))
                        .as("the first source is gone")
                        .isEmpty();
                assertThat(filesIn(stores.get(1)))
                        .as("the second source is gone")
                        .isEmpty();
            }
        }
    }

    @Test
    void aKilledDaemonCostsTheGuestTheOutageAndNoError(@TempDir Path directory) throws Exception {
        try (FerryHost ferry = new FerryHost(directory.resolve("ferry"))) {
            addDatastores(ferry, directory, "one");
            String uri = makeDisk(ferry);
            try (GuestMachine guest = start(directory, uri, 2)) {
                guest.awaitReady();
                for (int round = 0; round < 3; round++) {
                    guest.awaitTicks(40);
                    guest.beginGaps();
                    long outageMillis = ferry.killDaemon();
                    guest.awaitTicks(5);
                    assertThat(guest.longestGapMillis())
                            .as("stall of the guest, for an outage of %d ms", outageMillis)
                            .isLessThan(outageMillis + 3_000);
                }
                assertThat(guest.stop()).as(report(guest, ferry)).startsWith("clean ");
                Path disk = Path.of(
                        ferry.json("disk", "show", "machine").path("path").asString());
                ferry.run("disk", "detach", "machine");
                assertDiskHolds(disk, guest, directory);
            }
        }
    }

    private static List<Path> addDatastores(FerryHost ferry, Path directory, String... names) throws IOException {
        List<Path> stores = new ArrayList<>();
        for (String name : names) {
            Path store = Files.createDirectory(directory.resolve("store-" + name));
            ferry.run("datastore", "add", name, "--kind", "dir", "--path", store.toString());
            stores.add(store);
        }
        return stores;
    }

    private static String makeDisk(FerryHost ferry) {
        ferry.run("disk", "create", "machine", "--datastore", "one", "--size", "512M");
        return ferry.json("disk", "attach", "machine").path("uri").asString();
    }

    /** {@code uri} is {@code nbd+unix:///EXPORT?socket=PATH}. */
    private static GuestMachine start(Path directory, String uri, long seed) throws IOException {
        URI parsed = URI.create(uri);
        assertThat(parsed.getScheme()).as(uri).isEqualTo("nbd+unix");
        assertThat(parsed.getQuery()).as(uri).startsWith("socket=");
        Path socket = Path.of(parsed.getQuery().substring("socket=".length()));
        return new GuestMachine(image, directory, seed, socket, parsed.getPath().substring(1));
    }

    /** The file system on {@code disk} is clean, and each file in it is what the guest says it wrote. */
    private static void assertDiskHolds(Path disk, GuestMachine guest, Path directory) throws Exception {
        Programs.Outcome fsck = Programs.run(directory, CHECK_LIMIT, List.of("e2fsck", "-fn", disk.toString()));
        assertThat(fsck.status()).as(fsck.output() + fsck.errors()).isZero();
        Map<String, String> expected = new TreeMap<>();
        for (String line : guest.consoleLines()) {
            String[] words = line.split(" ", -1);
            if (line.startsWith("guest: sum ")) {
                expected.put(words[2], words[3]);
            }
        }
        assertThat(expected).as("files of the guest").hasSizeGreaterThan(5);
        Path files = Files.createDirectory(directory.resolve("files"));
        Programs.run(directory, CHECK_LIMIT, List.of("debugfs", "-R", "rdump / " + files, disk.toString()))
                .outputOfSuccess("debugfs");
        Map<String, String> found = new TreeMap<>();
        for (Path file : filesIn(files)) {
            if (file.getFileName().toString().startsWith("file")) {
                found.put(file.getFileName().toString(), md5(file));
            }
        }
        assertThat(found).isEqualTo(expected);
    }

    private static List<Path> filesIn(Path directory) throws IOException {
        try (Stream<Path> paths = Files.walk(directory)) {
            return paths.filter(Files::isRegularFile).toList();
        }
    }

    private static String md5(Path file) throws IOException, NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(Files.readAllBytes(file)));
    }

    private static String report(GuestMachine guest, FerryHost ferry) throws IOException {
        return String.join("\n", guest.consoleLines()) + "\n" + ferry.log();
    }
}
