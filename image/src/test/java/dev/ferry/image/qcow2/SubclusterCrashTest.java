package dev.ferry.image.qcow2;

import dev.ferry.image.Program;
import dev.ferry.testkit.Seeds;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What {@link CrashTest} shows, of images with extended L2 entries. */
class SubclusterCrashTest {
    @TempDir
    Path directory;

    private static Qcow2Options options(int clusterBits) {
        return Qcow2Options.DEFAULT.withExtendedL2().withClusterBits(clusterBits);
    }

    @ParameterizedTest
    @ValueSource(ints = {14, 16, 17, 21})
    void aPlainImage(int clusterBits) {
        Seeds.run(seed -> CrashTest.crashes(seed, CrashTest.image(options(clusterBits)), null, true));
    }

    @ParameterizedTest
    @ValueSource(ints = {14, 16, 17})
    void anOverlay(int clusterBits) {
        Seeds.run(seed -> CrashTest.crashes(
                seed, CrashTest.image(options(clusterBits).withBacking("base", "raw")), CrashTest.base(), true));
    }

    @ParameterizedTest
    @ValueSource(ints = {14, 17})
    void anOverlayThatTakesOverWhatItLiesOver(int clusterBits) {
        Seeds.run(
                3,
                seed -> CrashTest.streams(
                        seed, CrashTest.image(options(clusterBits).withBacking("base", "raw")), CrashTest.base()));
    }

    @Test
    void anImageWithASnapshotAndCompressedClusters() {
        Seeds.run(
                2,
                seed -> CrashTest.crashes(
                        seed, CrashTest.packedWithASnapshot(directory, "extended_l2=on,cluster_size=16k"), null, true));
    }

    /** Parts of clusters, which still hold what they held when they were zeroed. */
    @Test
    void anImageThatWasInUseBefore() {
        Seeds.run(2, seed -> {
            Path image = Files.write(directory.resolve("used.qcow2"), CrashTest.image(options(16)));
            Program.ok(
                    "qemu-io",
                    "-f",
                    "qcow2",
                    "-c",
                    "write -P 0x55 0 300k",
                    "-c",
                    "write -z 10k 100k",
                    "-c",
                    "write -z 140k 64k",
                    image);
            CrashTest.crashes(seed, Files.readAllBytes(image), null, true);
        });
    }
}
