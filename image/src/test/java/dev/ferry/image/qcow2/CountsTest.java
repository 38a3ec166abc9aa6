package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.image.Program;
import dev.ferry.testkit.Seeds;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Counts of every width that nobody accounts for, behind all that is in use: the check finds each of them, as QEMU does. */
class CountsTest {
    private static final int SIZE = 96 << 10;
    private static final int CLUSTER = 512;

    @TempDir
    Path directory;

    private static int entry(byte[] image, long tableAt, int block) {
        return (int) Qcow2Layout.u64(image, (int) tableAt + block * Long.BYTES);
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6})
    void eachThatIsPlantedIsFoundAndMended(int order) {
        Seeds.run(2, seed -> {
            SplittableRandom random = new SplittableRandom(seed);
            Path image = directory.resolve("image.qcow2");
            Files.deleteIfExists(image);
            OpenImage.create(
                    image, SIZE, Qcow2Options.DEFAULT.withClusterBits(9).withRefcountOrder(order));
            byte[] data = new byte[512 * (20 + random.nextInt(120))];
            random.nextBytes(data);
            try (OpenImage open = OpenImage.open(image)) {
                open.write(0, data);
            }
            assertThat(OpenImage.check(image, Qcow2Checker.Repair.NONE).leaks()).isZero();
            byte[] sound = Files.readAllBytes(image);
            long tableAt = Qcow2Layout.u64(sound, Qcow2Layout.REFCOUNT_TABLE_OFFSET);
            int used = sound.length / CLUSTER;
            int perBlock = (CLUSTER * 8) >> order;
            int last = (used - 1) / perBlock;
            int block = entry(sound, tableAt, last);
            byte[] counts = Arrays.copyOfRange(sound, block, block + CLUSTER);
            TreeSet<Integer> planted = new TreeSet<>();
            for (int i = 0; i < 5 && used < (last + 1) * perBlock; i++) {
                planted.add(random.nextInt(used, (last + 1) * perBlock));
            }
            for (int cluster : planted) {
                Counts.set(
                        counts,
                        cluster - last * perBlock,
                        order,
                        1 + random.nextInt((int) Math.min(3, Counts.most(order))));
            }
            // All of them in the file, so that QEMU looks at them too.
            byte[] leaking = Arrays.copyOf(sound, (last + 1) * perBlock * CLUSTER);
            System.arraycopy(counts, 0, leaking, block, CLUSTER);
            Files.write(image, leaking);
            CheckReport found = OpenImage.check(image, Qcow2Checker.Repair.NONE);
            assertThat(found.leaks()).isEqualTo(planted.size());
            assertThat(found.corruptions()).isZero();
            for (int cluster : planted) {
                assertThat(found.findings()).anyMatch(line -> line.startsWith("cluster " + cluster + " counts"));
            }
            Program.Outcome theirs = Program.run("qemu-img", "check", "--output=json", "-f", "qcow2", image);
            if (planted.isEmpty()) {
                assertThat(theirs.output()).doesNotContain("\"leaks\"");
            } else {
                assertThat(theirs.output()).contains("\"leaks\": " + planted.size());
            }
            CheckReport mended = OpenImage.check(image, Qcow2Checker.Repair.LEAKS);
            assertThat(mended.leaksFixed()).isEqualTo(planted.size());
            assertThat(mended.clean()).isTrue();
            Program.ok("qemu-img", "check", "-f", "qcow2", image);
        });
    }
}
