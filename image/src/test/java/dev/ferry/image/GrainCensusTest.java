package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.sparse.Census;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.testkit.SimLoop;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A look at the tables of an image finds nothing in those that QEMU made, and each contradiction that was planted. */
class GrainCensusTest {
    @TempDir
    Path directory;

    private final SimLoop loop = new SimLoop(1);

    private Path made(String format, String options) {
        Path image = directory.resolve("disk");
        Program.ok("qemu-img", "create", "-f", format, "-o", options, image, "20M");
        if (!options.contains("streamOptimized")) {
            Program.ok("qemu-io", "-f", format, "-c", "write -P 3 1M 300k", "-c", "write -P 4 9M 5M", image);
        }
        return image;
    }

    private Census census(String format, Path image) throws Exception {
        OpenFile file = ForeignDisk.file(loop, image);
        return switch (format) {
            case "vmdk" ->
                VmdkImage.check(file.bytes(), name -> ForeignDisk.file(loop, image.resolveSibling(name)), closed -> {});
            case "vpc" -> VhdImage.open(file.bytes()).check();
            default -> VhdxImage.open(file.bytes()).check(file.bytes());
        };
    }

    @ParameterizedTest
    @CsvSource({
        "vmdk, subformat=monolithicSparse, 85",
        "vmdk, subformat=twoGbMaxExtentSparse, 85",
        "vmdk, subformat=monolithicFlat, 0",
        "vmdk, subformat=streamOptimized, 0",
        "vpc, 'subformat=dynamic,force_size=on', 4",
        "vpc, 'subformat=fixed,force_size=on', 0",
        "vhdx, 'subformat=dynamic,block_size=1M', 6",
        "vhdx, 'subformat=fixed,block_size=1M', 6"
    })
    void soundImagesAreSound(String format, String options, int there) throws Exception {
        Census census = census(format, made(format, options));
        assertThat(census.findings()).isEmpty();
        assertThat(census.there()).isEqualTo(there);
    }

    @Test
    void grainsOverEachOtherOverTablesAndPastTheEndAreFound() throws Exception {
        Path vmdk = made("vmdk", "subformat=monolithicSparse");
        byte[] sound = Files.readAllBytes(vmdk);
        ByteBuffer fields = ByteBuffer.wrap(sound.clone()).order(ByteOrder.LITTLE_ENDIAN);
        int table = fields.getInt((int) fields.getLong(56) * 512) * 512;
        fields.putInt(table, fields.getInt(table + 16 * 4));
        Files.write(vmdk, fields.array());
        assertThat(String.join(" ", census("vmdk", vmdk).findings())).contains("copy differ", "over each other");
        for (int sector : new int[] {3, table / 512, 1 << 30}) {
            fields.putInt(table, sector);
            Files.write(vmdk, fields.array());
            assertThat(census("vmdk", vmdk).corruptions())
                    .as("sector " + sector)
                    .isEqualTo(2);
        }
        Path vhd = made("vpc", "subformat=dynamic,force_size=on");
        ByteBuffer blocks = ByteBuffer.wrap(Files.readAllBytes(vhd));
        int there = blocks.getInt(1536);
        for (int sector : new int[] {1, there + 5, 1 << 30}) {
            blocks.putInt(1536 + 4, sector);
            Files.write(vhd, blocks.array());
            assertThat(census("vpc", vhd).corruptions()).as("sector " + sector).isPositive();
        }
    }
}
