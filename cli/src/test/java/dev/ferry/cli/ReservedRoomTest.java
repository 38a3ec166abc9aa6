package dev.ferry.cli;

import static dev.ferry.testkit.Stranger.succeeds;
import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.stack.Stacks;
import dev.ferry.testkit.LoopMount;
import dev.ferry.testkit.SmallDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A disk whose room was reserved takes every write of its guest, however full its datastore is by then. */
@Timeout(300)
final class ReservedRoomTest {
    private static final long SIZE_BYTES = 12L << 20;
    private static final List<String> SHAPES = List.of(
            "--format=raw",
            "--format=qcow2",
            "--format=qcow2 --cluster-size=512",
            "--format=qcow2 --cluster-size=2M",
            "--format=qcow2 --extended-l2",
            "--format=qcow2 --qcow2-version=2",
            "--format=vmdk",
            "--format=vhd",
            "--format=vhdx");

    @TempDir
    Path directory;

    /** Zeroes and discards too; but on xfs, which frees a range that is to be zero and takes it again, if it is there still. */
    @ParameterizedTest
    @CsvSource({"tmpfs, true", "ext4, true", "xfs, false"})
    void everyWriteSucceedsOnAFullDatastore(String kind, boolean zeroesToo) throws IOException {
        if (kind.equals("tmpfs")) {
            try (SmallDisk small = SmallDisk.of(directory, 700L << 20)) {
                fillAndWrite(small.path(), zeroesToo);
            }
        } else {
            try (LoopMount mount = LoopMount.of(directory, kind, 900L << 20)) {
                fillAndWrite(mount.path(), zeroesToo);
            }
        }
    }

    private void fillAndWrite(Path folder, boolean zeroesToo) throws IOException {
        try (FerryHost host = FerryHost.started()) {
            host.run("datastore", "add", "full", "--kind", "dir", "--path", folder.toString())
                    .done();
            Path raw = Images.raw(host.directory.resolve("disk.raw"));
            List<String> names = new ArrayList<>();
            for (String shape : SHAPES) {
                String format = shape.replaceFirst("--format=([a-z0-9]+).*", "$1");
                for (String provisioning : List.of("lazy", "eager")) {
                    for (boolean imported : List.of(false, true)) {
                        String name = "disk" + names.size();
                        List<String> command = new ArrayList<>(List.of("disk", imported ? "import" : "create", name));
                        command.addAll(List.of("--datastore=full", "--provisioning=" + provisioning));
                        command.addAll(List.of(shape.split(" ")));
                        command.add(imported ? "--from=" + raw : "--size=" + SIZE_BYTES);
                        host.run(command.toArray(String[]::new)).done();
                        assertThat(Stacks.allocatedBytes(folder.resolve(name + "." + format)))
                                .as("%s", command)
                                .isGreaterThanOrEqualTo(SIZE_BYTES);
                        names.add(name);
                    }
                }
            }
            fill(folder);
            for (String name : names) {
                String uri = host.run("disk", "attach", name).done().out().strip();
                succeeds("qemu-io", "-f", "raw", "-c", "write -P 7 0 12M", "-c", "flush", uri);
                if (zeroesToo) {
                    succeeds("qemu-io", "-f", "raw", "-c", "discard 1M 5M", "-c", "write -z 7M 1M", uri);
                }
                succeeds(
                        "qemu-io",
                        "-f",
                        "raw",
                        "-c",
                        "write -P 9 2M 6M",
                        "-c",
                        "flush",
                        "-c",
                        "read -P 9 2M 6M",
                        "-c",
                        "read -P 7 8M 4M",
                        uri);
                host.run("disk", "detach", name).done();
            }
        }
    }

    /** To the last block, while the disks keep what they have. */
    private static void fill(Path folder) throws IOException {
        Path filler = folder.resolve("filler");
        for (int piece : List.of(1 << 20, 4096)) {
            byte[] bytes = new byte[piece];
            try (var file = Files.newOutputStream(
                    filler, java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.APPEND)) {
                while (true) {
                    file.write(bytes);
                }
            } catch (IOException full) {
                assertThat(full).hasMessageContaining("No space left");
            }
        }
    }
}
