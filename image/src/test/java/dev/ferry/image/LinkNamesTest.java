package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.qcow2.Qcow2Creator;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.qcow2.Qcow2Names;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhd.VhdLink;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vhdx.VhdxLink;
import dev.ferry.image.vmdk.VmdkDescriptor;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkNames;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import org.junit.jupiter.api.Test;

/** The names of other files in files of every format, changed to longer and shorter ones. */
class LinkNamesTest {
    private static final int SIZE = 4 << 20;
    private static final UUID ONE = new UUID(1, 2);
    private static final UUID OTHER = new UUID(3, 4);
    private static final String LONG = "l".repeat(190) + ".image";
    private static final int VHD_HEADER = 512;
    private static final int VHD_LOCATOR = VHD_HEADER + 576;

    /** A file in memory. */
    private static FileBytes memory() {
        return new FileBytes() {
            private byte[] bytes = {};

            @Override
            public String name() {
                return "a file in memory";
            }

            @Override
            public long lengthBytes() {
                return bytes.length;
            }

            @Override
            public void read(long offset, byte[] into, int at, int length) {
                int there = Math.clamp(bytes.length - offset, 0, length);
                if (there > 0) {
                    System.arraycopy(bytes, (int) offset, into, at, there);
                }
                Arrays.fill(into, at + there, at + length, (byte) 0);
            }

            @Override
            public void write(long offset, byte[] from, int at, int length) {
                resize(Math.max(bytes.length, offset + length));
                System.arraycopy(from, at, bytes, (int) offset, length);
            }

            @Override
            public void resize(long lengthBytes) {
                bytes = Arrays.copyOf(bytes, (int) lengthBytes);
            }

            @Override
            public void flush() {}
        };
    }

    private static byte[] all(FileBytes file) throws BlockException {
        return file.read(0, (int) file.lengthBytes());
    }

    private static FileBytes vhd() throws BlockException {
        FileBytes file = memory();
        VhdCreator.Parent parent = new VhdCreator.Parent("base.vhd", ONE, Instant.EPOCH);
        VhdCreator.createDelta(file, SIZE, Instant.EPOCH, OTHER, parent);
        return file;
    }

    @Test
    void aVhdNamesItsParentByAnotherName() throws BlockException {
        FileBytes file = vhd();
        byte[] before = all(file);
        VhdLink.change(file, "base.vhd");
        assertThat(all(file)).isEqualTo(before);
        for (String name : List.of(LONG, "b", "base-2.vhd")) {
            VhdLink.change(file, name);
            assertThat(VhdImage.open(file).parentNames()).containsExactly(name);
        }
        VhdLink.change(file, "base.vhd");
        assertThat(all(file)).isEqualTo(before);
    }

    @Test
    void aPathOfAVhdThatHasNoRoomIsTakenAwayAndAnAbsoluteOneLeadsToTheNewName() throws BlockException {
        FileBytes file = vhd();
        byte[] locator = file.read(VHD_LOCATOR, 24);
        int length = ByteBuffer.wrap(locator).getInt(8);
        long place = ByteBuffer.wrap(locator).getLong(16);
        byte[] absolute = "C:\\old\\base.vhd".getBytes(StandardCharsets.UTF_16LE);
        file.write(place + 256, absolute);
        ByteBuffer second = ByteBuffer.allocate(24);
        second.putInt(0x57326b75)
                .putInt(absolute.length + 20)
                .putInt(absolute.length)
                .putInt(0)
                .putLong(place + 256);
        file.write(VHD_LOCATOR + 4, ByteBuffer.allocate(4).putInt(length).array());
        file.write(VHD_LOCATOR + 24, second.array());
        seal(file);
        VhdLink.change(file, "c.vhd");
        byte[] path = file.read(
                place + 256, ByteBuffer.wrap(file.read(VHD_LOCATOR + 24 + 8, 4)).getInt());
        assertThat(new String(path, StandardCharsets.UTF_16LE)).isEqualTo("C:\\old\\c.vhd");
        VhdLink.change(file, LONG);
        assertThat(file.read(VHD_LOCATOR, 48)).containsOnly(0);
        assertThat(VhdImage.open(file).parentNames()).containsExactly(LONG);
    }

    /** The checksum of the header. */
    private static void seal(FileBytes file) throws BlockException {
        byte[] header = file.read(VHD_HEADER, 1024);
        int sum = 0;
        for (int i = 0; i < header.length; i++) {
            sum += i >= 36 && i < 40 ? 0 : header[i] & 0xff;
        }
        file.write(VHD_HEADER + 36, ByteBuffer.allocate(4).putInt(~sum).array());
    }

    @Test
    void aVhdxNamesItsParentByAnotherName() throws BlockException {
        FileBytes file = memory();
        VhdxCreator.createDelta(file, SIZE, OTHER, new VhdxCreator.Parent("base.vhdx", ONE, 512));
        byte[] before = all(file);
        VhdxLink.change(file, "base.vhdx");
        assertThat(all(file)).isEqualTo(before);
        for (String name : List.of(LONG, "b", "base-2.vhdx", LONG + "2")) {
            VhdxLink.change(file, name);
            VhdxImage image = VhdxImage.open(file);
            assertThat(image.parentNames()).containsExactly(name);
            assertThat(image.sizeBytes()).isEqualTo(SIZE);
        }
    }

    private static NewNames names(String below, Map<String, String> files) {
        return new NewNames(below, "vmdk", files);
    }

    @Test
    void aVmdkInOneFileNamesItselfAndItsParent() throws BlockException {
        FileBytes file = memory();
        VmdkText.Parent parent = new VmdkText.Parent("base.vmdk", 7);
        VmdkText.Part part = new VmdkText.Part("own.vmdk", SIZE);
        new VmdkWriter(file, new VmdkText(VmdkKind.MONOLITHIC_SPARSE, List.of(part), 9, parent)).finishEmpty();
        byte[] before = all(file);
        for (String name : List.of(LONG, "b")) {
            VmdkNames.change(file, names("below-" + name, Map.of("own.vmdk", name)));
            VmdkDescriptor told = descriptor(file);
            assertThat(told.parentHint()).isEqualTo("below-" + name);
            assertThat(told.parentId()).isEqualTo(7);
            assertThat(told.extents().getFirst().fileName()).isEqualTo(name);
            assertThat(file.lengthBytes()).isEqualTo(before.length);
            VmdkNames.change(file, names("base.vmdk", Map.of(name, "own.vmdk")));
            assertThat(all(file)).isEqualTo(before);
        }
        assertThatThrownBy(() -> VmdkNames.change(file, names("x".repeat(20 * 512), Map.of())))
                .isInstanceOfSatisfying(
                        BlockException.class, why -> assertThat(why.kind()).isEqualTo(ErrorKind.UNSUPPORTED));
    }

    private static VmdkDescriptor descriptor(FileBytes file) throws BlockException {
        return Objects.requireNonNull(VmdkImage.descriptor(file));
    }

    @Test
    void aTextNamesItsExtentsAndKeepsAllElse() throws BlockException {
        String text = """
                # Disk DescriptorFile
                # parentFileNameHint="a comment"
                CID=1
                parentCID=2
                 ParentFileNameHint = /vmfs/volumes/old/base.vmdk
                RW 4 FLAT "ä b.vmdk" 0
                RW 4 ZERO
                RDONLY 4 VMFSSPARSE "c.vmdk"
                RW 4 VMFSRDM "d.vmdk"
                ddb.x = "c.vmdk"
                """.replace("\n", "\r\n");
        FileBytes file = memory();
        file.write(0, text.getBytes(StandardCharsets.UTF_8));
        Map<String, String> files = Map.of("ä b.vmdk", LONG, "c.vmdk", "e", "d.vmdk", "not this");
        VmdkNames.change(file, names("base-2.vmdk", files));
        String wanted = text.replace("/vmfs/volumes/old/base.vmdk", "base-2.vmdk")
                .replace("\"ä b.vmdk\"", "\"" + LONG + "\"")
                .replace("VMFSSPARSE \"c.vmdk\"", "VMFSSPARSE \"e\"");
        assertThat(new String(all(file), StandardCharsets.UTF_8)).isEqualTo(wanted);
    }

    @Test
    void aQcow2ImageNamesItsBackingFileAndItsDataFile() throws BlockException {
        FileBytes file = memory();
        Qcow2Options options = Qcow2Options.DEFAULT.withData("own.data", false).withBacking("base.vhd", "vpc");
        Qcow2Creator.create(file, SIZE, options);
        byte[] before = all(file);
        Qcow2Names.change(file, new NewNames("base.vhd", "vpc", Map.of("own.data", "own.data")));
        assertThat(all(file)).isEqualTo(before);
        for (String name : List.of(LONG, "b", "own-2.data")) {
            String data = Objects.requireNonNull(Qcow2Description.of(file).dataFileName());
            Qcow2Names.change(file, new NewNames("below-" + name, "qcow2", Map.of(data, name)));
            Qcow2Description told = Qcow2Description.of(file);
            assertThat(told.backingName()).isEqualTo("below-" + name);
            assertThat(told.backingFormat()).isEqualTo("qcow2");
            assertThat(told.dataFileName()).isEqualTo(name);
            byte[] behind = file.read(1 << 16, before.length - (1 << 16));
            assertThat(behind).isEqualTo(Arrays.copyOfRange(before, 1 << 16, before.length));
        }
    }
}
