package dev.ferry.cli.vm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.cli.Installation;
import dev.ferry.cli.Self;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The kernel's NBD client, in a guest, at {@code ferry nbd serve}: a file system over four connections. */
@Timeout(300)
class KernelClientTest {
    @TempDir
    Path folder;

    private final List<Process> processes = new ArrayList<>();

    @AfterEach
    void stop() throws InterruptedException {
        for (Process process : processes) {
            process.destroyForcibly().waitFor();
        }
    }

    private Process start(Path out, List<String> command) throws IOException {
        Process process = new ProcessBuilder(command)
                .redirectInput(Path.of("/dev/null").toFile())
                .redirectErrorStream(true)
                .redirectOutput(out.toFile())
                .start();
        processes.add(process);
        return process;
    }

    private static String text(Path file) throws IOException {
        return Files.readString(file, StandardCharsets.ISO_8859_1);
    }

    /** The port of the server, once clients can come. */
    private String serve(Path disk) throws Exception {
        Path out = folder.resolve("server.txt");
        List<String> serve = List.of("nbd", "serve", disk.toString(), "--port", "0", "--export", "disk");
        Process server = start(out, Installation.command(Self.Part.DAEMON, serve));
        while (!text(out).contains("\n")) {
            assertThat(server.waitFor(50, TimeUnit.MILLISECONDS))
                    .as("the server ends: %s", text(out))
                    .isFalse();
        }
        return text(out).replaceFirst("(?s).*:([0-9]+)/disk.*", "$1");
    }

    @Test
    void aGuestAttachesADiskWithFourConnectionsAndItsFileSystemIsSound() throws Exception {
        GuestImage.require();
        GuestImage image = GuestImage.make(folder, GuestImage.Recipe.ATTACHING);
        Path disk = folder.resolve("disk.raw");
        try (RandomAccessFile file = new RandomAccessFile(disk.toFile(), "rw")) {
            file.setLength(64 << 20);
        }
        String port = serve(disk);
        Path console = folder.resolve("console.txt");
        String accelerator = System.getenv("FERRY_ACCEL") == null ? "tcg" : System.getenv("FERRY_ACCEL");
        List<String> qemu = new ArrayList<>(List.of("qemu-system-x86_64", "-nodefaults", "-no-user-config"));
        qemu.addAll(List.of("-display", "none", "-accel", accelerator, "-cpu", "qemu64", "-m", "256M", "-no-reboot"));
        qemu.addAll(List.of("-kernel", image.kernel().toString()));
        qemu.addAll(List.of("-initrd", image.initramfs().toString()));
        qemu.addAll(List.of("-append", "console=ttyS0 quiet panic=-1 ferry.port=" + port));
        qemu.addAll(List.of("-serial", "stdio", "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"));
        Process guest = start(console, qemu);
        assertThat(guest.waitFor(4, TimeUnit.MINUTES))
                .as("the guest powers off; it said: %s", text(console))
                .isTrue();
        String said = text(console);
        assertThat(said).contains("guest: result clean").contains("discard");
        List<String> sums = said.lines()
                .filter(line -> line.startsWith("guest: sum "))
                .map(line -> line.strip().substring("guest: sum ".length()))
                .toList();
        assertThat(sums).hasSize(16);
        for (String sum : sums) {
            String[] nameAndSum = sum.split(" ", 2);
            Path copy = folder.resolve(nameAndSum[0]);
            Stranger.succeeds("debugfs", "-R", "dump " + nameAndSum[0] + " " + copy, disk);
            assertThat(md5(copy)).as(nameAndSum[0]).isEqualTo(nameAndSum[1]);
        }
    }

    private static String md5(Path file) throws Exception {
        byte[] digest = MessageDigest.getInstance("MD5").digest(Files.readAllBytes(file));
        return HexFormat.of().formatHex(digest);
    }
}
