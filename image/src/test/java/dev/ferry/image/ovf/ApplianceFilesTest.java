package dev.ferry.image.ovf;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.LoopBytes;
import dev.ferry.image.Program;
import dev.ferry.testkit.MemoryDisk;
import dev.ferry.testkit.Seeds;
import dev.ferry.testkit.SimLoop;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Archives, descriptors and manifests of appliances: what others make is read, and what is hostile is a clear error. */
class ApplianceFilesTest {
    @TempDir
    Path directory;

    private static FileBytes bytes(byte[] content) {
        MemoryDisk disk = MemoryDisk.growing(64 << 20);
        disk.resize(content.length, error -> assertThat(error).isNull());
        disk.fill(0, content);
        return new LoopBytes(new SimLoop(1), CheckedDevice.of(disk, "file"));
    }

    private static FileBytes bytes(String content) {
        return bytes(content.getBytes(StandardCharsets.UTF_8));
    }

    private byte[] archive(String format, String... names) throws Exception {
        Path tar = directory.resolve("a.tar");
        List<Object> arguments = new ArrayList<>(List.of("--format=" + format, "-C", directory, "-cf", tar));
        for (String name : names) {
            Files.writeString(directory.resolve(name), "content of " + name);
            arguments.add(name);
        }
        Program.ok("tar", arguments.toArray());
        return Files.readAllBytes(tar);
    }

    @ParameterizedTest
    @ValueSource(strings = {"ustar", "gnu", "pax", "v7"})
    void archivesOfEachKindAreRead(String format) throws Exception {
        String name = format.equals("v7") || format.equals("ustar") ? "short.vmdk" : "x".repeat(180) + ".vmdk";
        byte[] tar = archive(format, "vm.ovf", name, "empty");
        List<TarIndex.Entry> entries = TarIndex.of(bytes(tar));
        assertThat(entries.stream().map(TarIndex.Entry::name)).containsExactly("vm.ovf", name, "empty");
        for (TarIndex.Entry entry : entries) {
            byte[] found = Arrays.copyOfRange(tar, (int) entry.offset(), (int) (entry.offset() + entry.sizeBytes()));
            assertThat(new String(found, StandardCharsets.UTF_8)).isEqualTo("content of " + entry.name());
        }
    }

    @Test
    void aFileWhoseSizeIsInBinaryIsRead() throws Exception {
        byte[] tar = archive("gnu", "one");
        long size = Files.size(directory.resolve("one"));
        Arrays.fill(tar, 124, 136, (byte) 0);
        tar[124] = (byte) 0x80;
        tar[135] = (byte) size;
        mend(tar);
        assertThat(TarIndex.of(bytes(tar)).getFirst().sizeBytes()).isEqualTo(size);
        Arrays.fill(tar, 125, 136, (byte) -1);
        mend(tar);
        assertThatThrownBy(() -> TarIndex.of(bytes(tar))).hasMessageContaining("out of bounds");
    }

    /** Writes the checksum of the first header anew. */
    private static void mend(byte[] tar) {
        Arrays.fill(tar, 148, 156, (byte) ' ');
        int sum = 0;
        for (int i = 0; i < 512; i++) {
            sum += tar[i] & 0xff;
        }
        byte[] digits = String.format("%06o\0 ", sum).getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(digits, 0, tar, 148, 8);
    }

    @ParameterizedTest
    @ValueSource(strings = {"../secret", "/etc/passwd", "a/b", "..", "."})
    void aNameThatLeadsOutOfTheArchiveIsRefused(String name) throws Exception {
        byte[] tar = archive("ustar", "one");
        Arrays.fill(tar, 0, 100, (byte) 0);
        byte[] letters = name.getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(letters, 0, tar, 0, letters.length);
        mend(tar);
        assertThatThrownBy(() -> TarIndex.of(bytes(tar))).hasMessageContaining("leads out");
    }

    @Test
    void linksFilesTwiceAndWhatIsNoArchiveAreRefused() throws Exception {
        byte[] link = archive("ustar", "one");
        link[156] = '2';
        mend(link);
        assertThatThrownBy(() -> TarIndex.of(bytes(link))).hasMessageContaining("no file");
        byte[] once = archive("ustar", "one");
        byte[] twice = new byte[1024 + once.length];
        System.arraycopy(once, 0, twice, 0, 1024);
        System.arraycopy(once, 0, twice, 1024, once.length);
        assertThatThrownBy(() -> TarIndex.of(bytes(twice))).hasMessageContaining("one name");
        assertThatThrownBy(() -> TarIndex.of(bytes("x".repeat(2000)))).hasMessageContaining("not a tar");
        assertThatThrownBy(() -> TarIndex.of(bytes("x"))).hasMessageContaining("not a tar");
        byte[] cut = Arrays.copyOf(archive("ustar", "one"), 512 + 3);
        assertThatThrownBy(() -> TarIndex.of(bytes(cut))).hasMessageContaining("past its end");
    }

    @Test
    void damageAnywhereInAnArchiveIsAClearErrorAndNothingElse() throws Exception {
        byte[] sound = archive("pax", "vm.ovf", "y".repeat(150), "three");
        Seeds.run(20, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            byte[] damaged = sound.clone();
            for (int i = random.nextInt(6); i >= 0; i--) {
                damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
            }
            mend(damaged);
            try {
                TarIndex.of(bytes(damaged));
            } catch (BlockException clear) {
                assertThat(clear.error().detail()).isNotBlank();
            }
        });
    }

    private static String descriptor(String files, String disks) {
        return "<?xml version=\"1.0\"?><Envelope xmlns=\"http://schemas.dmtf.org/ovf/envelope/1\""
                + " xmlns:ovf=\"http://schemas.dmtf.org/ovf/envelope/1\"><References>" + files
                + "</References><DiskSection><Info>disks</Info>" + disks + "</DiskSection></Envelope>";
    }

    private static final String VMDK =
            "ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"";

    @Test
    void theDisksOfADescriptorAreFoundInTheirOrder() throws Exception {
        List<OvfDescriptor.Disk> disks = OvfDescriptor.read(bytes(descriptor(
                "<File ovf:id=\"f2\" ovf:href=\"two.vhd\"/><File ovf:id=\"f1\" ovf:href=\"one.vmdk\"/>",
                "<Disk ovf:diskId=\"a\" ovf:fileRef=\"f1\" " + VMDK + "/><Disk ovf:diskId=\"empty\"/>"
                        + "<Disk ovf:diskId=\"b\" ovf:fileRef=\"f2\""
                        + " ovf:format=\"http://technet.microsoft.com/en-us/library/bb676673.aspx\"/>")));
        assertThat(disks)
                .containsExactly(
                        new OvfDescriptor.Disk("a", "one.vmdk", ImageFormat.VMDK),
                        new OvfDescriptor.Disk("b", "two.vhd", ImageFormat.VHD));
    }

    @Test
    void aDescriptorReachesNothingOutsideItself() throws Exception {
        Path secret = Files.writeString(directory.resolve("secret"), "one.vmdk");
        String body =
                descriptor("<File ovf:id=\"f\" ovf:href=\"one.vmdk\"/>", "<Disk ovf:fileRef=\"f\" " + VMDK + "/>");
        String hostile = body.replace(
                "<Envelope", "<!DOCTYPE Envelope [<!ENTITY x SYSTEM \"" + secret.toUri() + "\">]><Envelope");
        assertThatThrownBy(() -> OvfDescriptor.read(bytes(hostile))).hasMessageContaining("DOCTYPE");
        for (String name : List.of("../one.vmdk", "/one.vmdk", "http://host/one.vmdk", "")) {
            assertThatThrownBy(() -> OvfDescriptor.read(bytes(body.replace("one.vmdk", name))))
                    .hasMessageContaining("not beside");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "<Disk ovf:fileRef=\"other\"/>|does not name",
                "<Disk ovf:diskId=\"x\"/>|no disk",
                "<Disk ovf:fileRef=\"f\" ovf:format=\"qed\"/>|not known",
                "<Disk|no descriptor"
            })
    void descriptorsThatCannotBeAreRefused(String diskAndWords) {
        String[] parts = diskAndWords.split("\\|", -1);
        String text = descriptor("<File ovf:id=\"f\" ovf:href=\"one.vmdk\"/>", parts[0]);
        assertThatThrownBy(() -> OvfDescriptor.read(bytes(text))).hasMessageContaining(parts[1]);
    }

    @Test
    void aFileIsHeldToItsDigest() throws Exception {
        Path file = Files.writeString(directory.resolve("disk"), "what is in the disk");
        for (String algorithm : List.of("SHA1", "SHA256", "SHA512")) {
            String program = algorithm.toLowerCase(Locale.ROOT) + "sum";
            String digest = Program.ok(program, file).split(" ", -1)[0];
            Manifest manifest = Manifest.read(bytes(algorithm + "(disk)= " + digest + "\n"));
            manifest.verify("disk", bytes(Files.readAllBytes(file)));
            assertThatThrownBy(() -> manifest.verify("disk", bytes("what is in the disc")))
                    .hasMessageContaining("not the one in the manifest");
            assertThatThrownBy(() -> manifest.verify("other", bytes("x"))).hasMessageContaining("no digest");
        }
        assertThatThrownBy(() -> Manifest.read(bytes("MD5(disk)= 00\n"))).hasMessageContaining("no digest");
    }
}
