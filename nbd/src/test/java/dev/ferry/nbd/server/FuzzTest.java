package dev.ferry.nbd.server;

import dev.ferry.nbd.fuzz.ClientHandshakeFuzz;
import dev.ferry.nbd.fuzz.ServerHandshakeFuzz;
import dev.ferry.nbd.fuzz.UriFuzz;
import dev.ferry.testkit.Seeds;
import java.util.Arrays;
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
                target.run(mutated(random, corpus.get(random.nextInt(corpus.size()))));
            }
        });
    }

    private static byte[] mutated(Random random, byte[] good) {
        byte[] words = good.clone();
        for (int i = random.nextInt(6); i >= 0; i--) {
            int at = random.nextInt(Math.min(words.length, 400));
            words[at] = switch (random.nextInt(4)) {
                case 0 -> (byte) 0xff;
                case 1 -> 0;
                case 2 -> (byte) (words[at] ^ (1 << random.nextInt(8)));
                default -> (byte) random.nextInt(256);
            };
        }
        int from = random.nextInt(words.length);
        int to = from + random.nextInt(Math.min(64, words.length - from));
        return switch (random.nextInt(4)) {
            case 0 -> Arrays.copyOf(words, from);
            case 1 -> joined(Arrays.copyOf(words, from), Arrays.copyOfRange(words, to, words.length));
            case 2 -> joined(Arrays.copyOf(words, to), Arrays.copyOfRange(words, from, words.length));
            default -> words;
        };
    }

    private static byte[] joined(byte[] head, byte[] tail) {
        byte[] all = Arrays.copyOf(head, head.length + tail.length);
        System.arraycopy(tail, 0, all, head.length, tail.length);
        return all;
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
