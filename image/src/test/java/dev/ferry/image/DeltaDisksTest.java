package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Deltas over parents, of VMware and of Hyper-V: what shows through is byte by byte what QEMU, or the model, sees. */
class DeltaDisksTest {
    /** Whole cylinders of 16 heads and 63 sectors, so that no format rounds it. */
    private static final int SIZE = 24 * 16 * 63 * 512;

    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(1);

    private Path file(String name) {
        return directory.resolve(name);
    }

    private byte[] base(String format, String options, Path image, SplittableRandom random) throws IOException {
        byte[] content = new byte[SIZE];
        for (int i = 0; i < 8; i++) {
            byte[] patch = new byte[1 + random.nextInt(300_000)];
            random.nextBytes(patch);
            System.arraycopy(patch, 0, content, random.nextInt(SIZE - patch.length), patch.length);
        }
        Path raw = Files.write(file("content.raw"), content);
        Program.ok("qemu-img", "convert", "-f", "raw", "-O", format, "-o", options, raw, image);
        return content;
    }

    private static String contentId(Path image) throws IOException {
        byte[] bytes = Files.readAllBytes(image);
        String text = new String(bytes, 0, Math.min(bytes.length, 20_000), StandardCharsets.ISO_8859_1);
        Matcher id = Pattern.compile("\nCID=([0-9a-f]+)").matcher(text);
        assertThat(id.find()).isTrue();
        return id.group(1);
    }

    private byte[] asQemuReads(String format, Path image) throws IOException {
        Path raw = file("theirs.raw");
        Program.ok("qemu-img", "convert", "-f", format, "-O", "raw", image, raw);
        return Files.readAllBytes(raw);
    }

    private void write(Path image, SplittableRandom random, boolean zeroes) {
        List<Object> commands = new ArrayList<>(List.of("-f", "vmdk"));
        for (int i = 0; i < 12; i++) {
            commands.add("-c");
            long at = random.nextInt(SIZE / 512 - 700) * 512L;
            long length = (1 + random.nextInt(600)) * 512L;
            boolean zero = zeroes && random.nextInt(3) == 0;
            commands.add(
                    zero
                            ? "write -z " + (at & -65536) + " 128k"
                            : "write -P " + (1 + random.nextInt(200)) + " " + at + " " + length);
        }
        commands.add(image);
        Program.ok("qemu-io", commands.toArray());
    }

    @ParameterizedTest
    @CsvSource({
        "monolithicSparse, monolithicSparse",
        "monolithicFlat, monolithicSparse",
        "twoGbMaxExtentSparse, twoGbMaxExtentSparse",
        "streamOptimized, monolithicSparse",
        "monolithicSparse, zeroed"
    })
    void chainsThatQemuMadeAreReadAsItReadsThem(String base, String delta) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] content = base("vmdk", "subformat=" + base, file("base.vmdk"), random);
            String options = delta.equals("zeroed") ? "zeroed_grain=on" : "subformat=" + delta;
            // By its name, and by its path: what counts is that it lies beside.
            Path parent = Path.of("base.vmdk");
            for (String name : List.of("one.vmdk", "two.vmdk", "three.vmdk")) {
                Object named = random.nextBoolean() ? file(parent.toString()) : parent;
                Program.ok("qemu-img", "create", "-f", "vmdk", "-o", options, "-b", named, "-F", "vmdk", file(name));
                write(file(name), random, delta.equals("zeroed"));
                parent = Path.of(name);
            }
            byte[] theirs = asQemuReads("vmdk", file("three.vmdk"));
            assertThat(Arrays.equals(theirs, content)).isFalse();
            ForeignDisk disk = ForeignDisk.vmdk(loop, file("three.vmdk"));
            byte[] ours = disk.content();
            assertThat(Arrays.mismatch(ours, theirs)).isEqualTo(-1);
            assertThat(disk.zeroes(ours)).isGreaterThanOrEqualTo(0);
            disk.close();
        });
    }

    @Test
    void aParentThatWasWrittenToOrIsAnotherIsRefused() throws Exception {
        SplittableRandom random = new SplittableRandom(7);
        base("vmdk", "subformat=monolithicSparse", file("base.vmdk"), random);
        Program.ok("qemu-img", "create", "-f", "vmdk", "-b", file("base.vmdk"), "-F", "vmdk", file("child.vmdk"));
        ForeignDisk.vmdk(loop, file("child.vmdk")).close();
        Program.ok("qemu-io", "-f", "vmdk", "-c", "write 0 512", file("base.vmdk"));
        assertThatThrownBy(() -> ForeignDisk.vmdk(loop, file("child.vmdk"))).hasMessageContaining("content ID");
        Files.delete(file("base.vmdk"));
        assertThatThrownBy(() -> ForeignDisk.vmdk(loop, file("child.vmdk"))).hasMessageContaining("not there");
        Files.write(file("base.vmdk"), new byte[4096]);
        assertThatThrownBy(() -> ForeignDisk.vmdk(loop, file("child.vmdk"))).hasMessageContaining("not a VMDK");
    }

    @Test
    void aCircleOfParentsAndAParentWithoutANameAreRefused() throws Exception {
        Files.write(file("flat"), new byte[4096]);
        for (String hint : List.of("circle.vmdk", "", "..", "/", "C:\\x\\")) {
            Files.writeString(
                    file("circle.vmdk"),
                    "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=1\nparentFileNameHint=\"" + hint
                            + "\"\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"flat\" 0\n");
            assertThatThrownBy(() -> ForeignDisk.vmdk(loop, file("circle.vmdk")))
                    .hasMessageContaining(hint.equals("circle.vmdk") ? "circle" : "of which parent");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"VMFSSPARSE", "SESPARSE"})
    void snapshotsOfEsxAreReadAsQemuReadsThem(String kind) {
        Seeds.run(3, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path image = file("vm-000001.vmdk");
            byte[] content = snapshot(kind, image, random);
            assertThat(Arrays.mismatch(asQemuReads("vmdk", image), content)).isEqualTo(-1);
            ForeignDisk disk = ForeignDisk.vmdk(loop, image);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            assertThat(disk.zeroes(content)).isGreaterThanOrEqualTo(0);
            disk.close();
        });
    }

    private byte[] snapshot(String kind, Path image, SplittableRandom random) throws IOException {
        Files.deleteIfExists(file("vm.vmdk"));
        byte[] parent = base("vmdk", "subformat=monolithicFlat", file("vm.vmdk"), random);
        Path delta = file("vm-000001-delta.vmdk");
        boolean vmfs = kind.equals("VMFSSPARSE");
        byte[] content =
                vmfs ? DeltaFiles.vmfsSparse(delta, parent, random) : DeltaFiles.seSparse(delta, parent, random);
        String type = vmfs ? "vmfsSparse" : "seSparse";
        DeltaFiles.descriptor(image, type, kind, delta, SIZE, "vm.vmdk", contentId(file("vm.vmdk")));
        return content;
    }

    @Test
    void anSeSparseDeltaWithAJournalToReplayIsRefused() throws Exception {
        snapshot("SESPARSE", file("vm-000001.vmdk"), new SplittableRandom(5));
        Path delta = file("vm-000001-delta.vmdk");
        byte[] bytes = Files.readAllBytes(delta);
        bytes[512 + 24] = 1;
        Files.write(delta, bytes);
        assertThatThrownBy(() -> ForeignDisk.vmdk(loop, file("vm-000001.vmdk"))).hasMessageContaining("journal");
    }

    @ParameterizedTest
    @ValueSource(strings = {"dynamic", "fixed"})
    void differencingDisksOfHyperVShowTheirParentSectorBySector(String kind) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] content = base("vpc", "subformat=" + kind + ",force_size=on", file("base.vhd"), random);
            String[] names = {"base.vhd", "first.avhd", "second.avhd"};
            for (int i = 1; i < names.length; i++) {
                content = DeltaFiles.vhdChild(
                        file(names[i]), file(names[i - 1]), content, "D:\\VMs\\" + names[i - 1], random);
            }
            ForeignDisk disk = ForeignDisk.vhd(loop, file("second.avhd"));
            assertThat(disk.device.geometry().sizeBytes()).isEqualTo(SIZE);
            assertThat(Arrays.mismatch(disk.content(), content)).isEqualTo(-1);
            assertThat(disk.zeroes(content)).isGreaterThanOrEqualTo(0);
            disk.close();
            byte[] other = Files.readAllBytes(file("first.avhd"));
            base("vpc", "subformat=" + kind + ",force_size=on", file("base.vhd"), random);
            assertThatThrownBy(() -> ForeignDisk.vhd(loop, file("second.avhd"))).hasMessageContaining("another disk");
            Files.delete(file("base.vhd"));
            assertThatThrownBy(() -> ForeignDisk.vhd(loop, file("second.avhd"))).hasMessageContaining("not there");
            Files.write(file("base.vhd"), other);
            assertThatThrownBy(() -> ForeignDisk.vhd(loop, file("second.avhd"))).hasMessageContaining("another disk");
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"VMFSSPARSE", "SESPARSE", "VHD"})
    void damageAnywhereIsAClearErrorAndNothingElse(String kind) {
        Seeds.run(seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            boolean vhd = kind.equals("VHD");
            Path hurt = vhd ? file("child.vhd") : file("vm-000001-delta.vmdk");
            if (vhd) {
                byte[] parent = base("vpc", "subformat=dynamic,force_size=on", file("base.vhd"), random);
                DeltaFiles.vhdChild(hurt, file("base.vhd"), parent, "base.vhd", random);
            } else {
                snapshot(kind, file("vm-000001.vmdk"), random);
            }
            byte[] sound = Files.readAllBytes(hurt);
            for (int round = 0; round < 20; round++) {
                byte[] damaged =
                        random.nextInt(6) == 0 ? Arrays.copyOf(sound, random.nextInt(sound.length)) : sound.clone();
                for (int i = random.nextInt(4); i >= 0 && damaged.length > 8; i--) {
                    int area = Math.min(damaged.length, random.nextBoolean() ? 600 : 60_000);
                    damaged[random.nextInt(area)] = (byte) (random.nextBoolean() ? -1 : random.nextInt());
                }
                Files.write(hurt, vhd && random.nextBoolean() ? withSums(damaged) : damaged);
                ForeignDisk.use(vhd ? "vpc" : "vmdk", loop, vhd ? hurt : file("vm-000001.vmdk"));
            }
        });
    }

    /** So that damage is not stopped by checksums alone. */
    private static byte[] withSums(byte[] image) {
        if (image.length > 3072) {
            DeltaFiles.sum(image, 0, 512, 64);
            DeltaFiles.sum(image, 512, 1024, 36);
            System.arraycopy(image, 0, image, image.length - 512, 512);
        }
        return image;
    }
}
