package dev.ferry.nbd.server;

import dev.ferry.nbd.fuzz.ClientHandshakeFuzz;
import dev.ferry.nbd.fuzz.ServerHandshakeFuzz;
import dev.ferry.nbd.fuzz.UriFuzz;
import dev.ferry.testkit.Mutations;
import dev.ferry.testkit.Seeds;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * What the fuzzer runs, for a moment and without a fuzzer: each conversation of its corpus, and some with bytes changed,
 * left out and put in. {@code ./trial fuzz} goes on for as long as one likes, guided by what code is reached.
 */
@Timeout(60)
class FuzzTest {
    private static final int HEAD_BYTES = 400;

    @FunctionalInterface
    private interface Target {
        void run(byte[] data) throws Exception;
    }

    private static void tried(Target target, List<byte[]> corpus, int runs) {
        Seeds.run(seed -> {
            for (byte[] good : corpus) {
                target.run(good);
            }
            Random random = new Random(seed);
            for (int i = 0; i < runs; i++) {
                target.run(Mutations.of(random, corpus.get(random.nextInt(corpus.size())), HEAD_BYTES));
            }
        });
    }

    @Test
    void theServersHandshakeComesToAnEnd() {
        tried(ServerHandshakeFuzz::fuzzerTestOneInput, ServerHandshakeFuzz.corpus(), 10_000);
    }

    @Test
    void theClientsHandshakeComesToAnEnd() {
        tried(ClientHandshakeFuzz::fuzzerTestOneInput, ClientHandshakeFuzz.corpus(), 10_000);
    }

    @Test
    void everyUriIsUnderstoodOrRefused() {
        tried(UriFuzz::fuzzerTestOneInput, UriFuzz.corpus(), 10_000);
    }

    @Test
    void theNextClientIsServedWhateverOneHasSaid() throws Exception {
        try {
            tried(TransmissionFuzz::fuzzerTestOneInput, TransmissionFuzz.corpus(), 300);
        } finally {
            TransmissionFuzz.stop();
        }
    }
}
