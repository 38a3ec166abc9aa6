package dev.ferry.image.fuzz;

import dev.ferry.testkit.Mutations;
import dev.ferry.testkit.Seeds;
import java.util.List;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * What the fuzzer runs, for a moment and without a fuzzer: each file of its corpus, and some with bytes changed, left out and
 * put in. {@code ./trial fuzz} goes on for as long as one likes, guided by what code is reached.
 */
@Timeout(120)
class ImageFuzzTest {
    private static final int RUNS = 150;

    private static void tried(Consumer<byte[]> target, List<byte[]> corpus, int headBytes) {
        Seeds.run(1, seed -> {
            corpus.forEach(target);
            Random random = new Random(seed);
            for (int i = 0; i < RUNS; i++) {
                byte[] mutated = Mutations.of(random, corpus.get(random.nextInt(corpus.size())), headBytes);
                target.accept(mutated);
            }
        });
    }

    @Test
    void qcow2() throws Exception {
        tried(Qcow2Fuzz::fuzzerTestOneInput, Qcow2Fuzz.corpus(), 2048);
    }

    @Test
    void vmdk() {
        tried(VmdkFuzz::fuzzerTestOneInput, VmdkFuzz.corpus(), 1024);
    }

    @Test
    void vhd() {
        tried(VhdFuzz::fuzzerTestOneInput, VhdFuzz.corpus(), 2048);
    }

    @Test
    void vhdx() {
        tried(VhdxFuzz::fuzzerTestOneInput, VhdxFuzz.corpus(), 32);
    }

    @Test
    void appliances() {
        tried(ApplianceFuzz::fuzzerTestOneInput, ApplianceFuzz.corpus(), 600);
    }
}
