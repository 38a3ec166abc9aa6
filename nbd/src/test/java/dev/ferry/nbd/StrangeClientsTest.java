package dev.ferry.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.reactor.EventLoops;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.Requires;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Clients that others wrote, at our server, on a real file. */
@Timeout(120)
@ParameterizedClass
@EnumSource(
        value = EventLoops.Kind.class,
        names = {"IO_URING", "EPOLL"})
class StrangeClientsTest {
    private static final int MEBI = 1 << 20;
    private static final int SIZE_BYTES = 64 * MEBI;

    @TempDir
    Path folder;

    private final EventLoops.Kind kind;
    private Served served;
    private Path disk;
    private String uri;

    StrangeClientsTest(EventLoops.Kind kind) {
        this.kind = kind;
    }

    @BeforeEach
    void start() throws IOException {
        served = new Served(kind);
        disk = folder.resolve("disk.raw");
        sparse(disk, SIZE_BYTES);
        fill(disk, 4 * MEBI, 8 * MEBI, 1);
        serve("disk", disk, false);
        uri = served.unix("disk").toString();
    }

    @AfterEach
    void stop() throws IOException {
        served.close();
    }

    private BlockDevice serve(String name, Path file, boolean readOnly) throws IOException {
        FileOptions options = readOnly ? FileOptions.CACHED.asReadOnly() : FileOptions.CACHED;
        return served.serve(name, FileDevice.open(served.loop, file, options), readOnly);
    }

    private static void sparse(Path file, long bytes) throws IOException {
        try (RandomAccessFile made = new RandomAccessFile(file.toFile(), "rw")) {
            made.setLength(bytes);
        }
    }

    private static void fill(Path file, long offset, int length, long seed) throws IOException {
        byte[] bytes = new byte[length];
        new SplittableRandom(seed).nextBytes(bytes);
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.seek(offset);
            opened.write(bytes);
        }
    }

    // ---- libnbd's tools

    @Test
    void nbdinfoTellsWhatTheExportCan() throws Exception {
        String said = Stranger.succeeds("nbdinfo", "--json", uri);
        assertThat(said)
                .contains("\"protocol\": \"newstyle-fixed\"")
                .contains("\"structured\": true")
                .contains("\"export-name\": \"disk\"")
                .contains("\"description\": \"the disk disk\"")
                .contains("\"export-size\": " + SIZE_BYTES)
                .contains("\"is_read_only\": false")
                .contains("\"can_cache\": true")
                .contains("\"can_fast_zero\": true")
                .contains("\"can_flush\": true")
                .contains("\"can_fua\": true")
                .contains("\"can_multi_conn\": true")
                .contains("\"can_trim\": true")
                .contains("\"can_zero\": true")
                .contains("\"block_size_minimum\": 1")
                .contains("base:allocation");
    }

    @Test
    void nbdinfoListsAllExports() throws Exception {
        served.serve("a name with spaces", new MemoryDisk(MEBI));
        served.serve("größe", new MemoryDisk(2 * MEBI));
        String said =
                Stranger.succeeds("nbdinfo", "--list", "--json", served.tcp("").toString());
        assertThat(said)
                .contains("\"export-name\": \"disk\"")
                .contains("\"export-name\": \"a name with spaces\"")
                .contains("\"export-name\": \"größe\"")
                .contains("\"export-size\": " + MEBI)
                .contains("\"export-size\": " + 2 * MEBI);
        assertThat(Stranger.succeeds("nbdinfo", "--size", served.unix("größe").toString())
                        .strip())
                .isEqualTo("" + 2 * MEBI);
    }

    @Test
    void aNameThatIsNotThereIsAnError() throws Exception {
        Stranger ended = Stranger.run("nbdinfo", served.unix("nobody").toString());
        assertThat(ended.exitCode()).isNotZero();
        assertThat(ended.output()).contains("No such file or directory for export: nobody");
    }

    @Test
    void nbdinfoMapsHolesAndData() throws Exception {
        String said = Stranger.succeeds("nbdinfo", "--map", uri);
        assertThat(said.lines().map(line -> line.strip().replaceAll(" +", " ")))
                .containsExactly(
                        "0 " + 4 * MEBI + " 3 hole,zero",
                        4 * MEBI + " " + 8 * MEBI + " 0 data",
                        12 * MEBI + " " + (SIZE_BYTES - 12 * MEBI) + " 3 hole,zero");
    }

    @Test
    void nbdcopyCopiesBothWays() throws Exception {
        Path copy = folder.resolve("copy.raw");
        Stranger.succeeds("nbdcopy", uri, copy.toString());
        assertThat(Files.mismatch(disk, copy)).isEqualTo(-1);
        fill(copy, 30 * MEBI, 5 * MEBI + 777, 2);
        Stranger.succeeds(
                "nbdcopy",
                "--connections=4",
                copy.toString(),
                served.tcp("disk").toString());
        assertThat(Files.mismatch(disk, copy)).isEqualTo(-1);
    }

    @Test
    void nbdcopyBetweenTwoExportsKeepsHoles() throws Exception {
        Path other = folder.resolve("other.raw");
        sparse(other, SIZE_BYTES);
        fill(other, 20 * MEBI, 4 * MEBI, 3);
        serve("other", other, false);
        Stranger.succeeds("nbdcopy", "--flush", uri, served.unix("other").toString());
        assertThat(Files.mismatch(disk, other)).isEqualTo(-1);
        assertThat(Stranger.succeeds(
                        "nbdinfo", "--map", "--totals", served.unix("other").toString()))
                .containsPattern("" + 8 * MEBI + " .*data");
    }

    // ---- QEMU's tools

    @Test
    void qemuImgTellsTheSize() throws Exception {
        assertThat(Stranger.succeeds("qemu-img", "info", "--output=json", uri))
                .contains("\"virtual-size\": " + SIZE_BYTES)
                .contains("\"format\": \"raw\"");
        String options = "driver=raw,file.driver=nbd,file.export=disk,file.server.type=unix,file.server.path="
                + ((NbdUri.Unix) served.unix("disk")).socket();
        assertThat(Stranger.succeeds("qemu-img", "info", "--output=json", "--image-opts", options))
                .contains("\"virtual-size\": " + SIZE_BYTES);
    }

    @Test
    void qemuImgMapsHolesAndData() throws Exception {
        assertThat(Stranger.succeeds("qemu-img", "map", "--output=json", "-f", "raw", uri)
                        .replaceAll("\\s+", " "))
                .contains("\"start\": 0, \"length\": " + 4 * MEBI)
                .contains("\"start\": " + 4 * MEBI + ", \"length\": " + 8 * MEBI)
                .contains("\"start\": " + 12 * MEBI + ", \"length\": " + (SIZE_BYTES - 12 * MEBI));
    }

    @Test
    void qemuImgConvertsBothWaysAndCompares() throws Exception {
        Path copy = folder.resolve("copy.qcow2");
        Stranger.succeeds("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-W", "-m", "16", uri, copy.toString());
        assertThat(Stranger.succeeds("qemu-img", "compare", "-f", "qcow2", "-F", "raw", copy.toString(), uri))
                .contains("identical");
        Path other = folder.resolve("other.raw");
        sparse(other, SIZE_BYTES);
        fill(other, 0, 2 * MEBI, 4);
        serve("other", other, false);
        String target = served.tcp("other").toString();
        Stranger.succeeds("qemu-img", "convert", "-n", "-f", "qcow2", "-O", "raw", copy.toString(), target);
        assertThat(Files.mismatch(disk, other)).isEqualTo(-1);
        assertThat(Stranger.succeeds("qemu-img", "compare", "-f", "raw", "-F", "raw", target, uri))
                .contains("identical");
    }

    @Test
    void qemuIoReadsWhatItWrote() throws Exception {
        String said = Stranger.succeeds(
                "qemu-io",
                "-f",
                "raw",
                "-c",
                "write -P 0x5a 1M 2M",
                "-c",
                "read -P 0x5a 1M 2M",
                "-c",
                "write -f -P 0xa5 513 1",
                "-c",
                "write -P 0x77 1000001 70001",
                "-c",
                "read -P 0xa5 513 1",
                "-c",
                "read -P 0 512 1",
                "-c",
                "read -P 0 514 1",
                "-c",
                "read -P 0x77 1000001 70001",
                "-c",
                "read -P 0x5a 1070002 1000",
                "-c",
                "flush",
                "-c",
                "write -z 2M 64k",
                "-c",
                "write -z -u 2500000 12345",
                "-c",
                "read -P 0 2M 64k",
                "-c",
                "read -P 0 2500000 12345",
                "-c",
                "read -P 0x5a 2499999 1",
                "-c",
                "read -P 0x5a 2512345 1",
                "-c",
                "discard 8M 1M",
                "-c",
                "read -P 0 8M 1M",
                "-c",
                "aio_write -P 0x11 40M 1M",
                "-c",
                "aio_write -P 0x12 41M 1M",
                "-c",
                "aio_flush",
                "-c",
                "read -P 0x11 40M 1M",
                "-c",
                "read -P 0x12 41M 1M",
                uri);
        assertThat(said).doesNotContain("verification failed").doesNotContain("failed:");
    }

    @Test
    void aReadOnlyExportTakesNoChanges() throws Exception {
        Path quiet = folder.resolve("quiet.raw");
        sparse(quiet, MEBI);
        fill(quiet, 0, MEBI, 5);
        serve("quiet", quiet, true);
        String address = served.unix("quiet").toString();
        assertThat(Stranger.succeeds("nbdinfo", "--json", address))
                .contains("\"is_read_only\": true")
                .contains("\"can_trim\": false")
                .contains("\"can_zero\": false");
        Stranger written = Stranger.run("qemu-io", "-f", "raw", "-c", "write 0 512", address);
        assertThat(written.exitCode()).isNotZero();
        assertThat(Stranger.succeeds("qemu-io", "-r", "-f", "raw", "-c", "read 0 1M", address))
                .contains("read 1048576/1048576");
    }

    @Test
    void aSizeThatIsNoMultipleOfASectorIsServedToItsLastByte() throws Exception {
        Path odd = folder.resolve("odd.raw");
        sparse(odd, MEBI + 1001);
        fill(odd, MEBI, 1001, 6);
        serve("odd", odd, false);
        String address = served.unix("odd").toString();
        assertThat(Stranger.succeeds("nbdinfo", "--size", address).strip()).isEqualTo("" + (MEBI + 1001));
        Path copy = folder.resolve("odd-copy.raw");
        Stranger.succeeds("nbdcopy", address, copy.toString());
        assertThat(Files.mismatch(odd, copy)).isEqualTo(-1);
        Files.delete(copy);
        Stranger.succeeds("qemu-img", "convert", "-f", "raw", "-O", "raw", address, copy.toString());
        assertThat(Files.size(copy)).isBetween((long) MEBI + 1001, MEBI + 1001L + 512);
    }

    // ---- fio

    @Test
    void fioVerifiesWhatItWroteAtDepth() throws Exception {
        Requires.program("fio");
        String said = Stranger.succeeds(
                "fio",
                "--name=changes",
                "--ioengine=nbd",
                "--uri=" + uri,
                "--rw=randwrite",
                "--bsrange=512-256k",
                "--bs_unaligned=1",
                "--size=32M",
                "--iodepth=32",
                "--verify=crc32c",
                "--verify_fatal=1",
                "--randseed=7");
        assertThat(said).contains("err= 0");
    }
}
