package dev.ferry.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.nbd.wire.ClientHandshake;
import dev.ferry.nbd.wire.ClientHandshake.Outcome;
import dev.ferry.nbd.wire.ClientHandshake.Purpose;
import dev.ferry.testkit.Seeds;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The client's handshake as a machine, without a socket: cut anywhere, in pieces of any size, with any byte changed. */
@Timeout(180)
class ClientHandshakeTest {
    /** What becomes of a handshake in which the server says this, comes in such pieces, and then hangs up. */
    private static String fate(Purpose purpose, byte[] words, int pieceBytes) {
        ClientHandshake machine = new ClientHandshake(purpose, "disk", List.of(), false);
        ByteBuffer input = ByteBuffer.allocate(ClientHandshake.inputBytes()).limit(0);
        int fed = 0;
        while (true) {
            Outcome outcome = machine.step(input);
            boolean waits = machine.output().isEmpty();
            machine.output().take();
            if (outcome != Outcome.CONTINUE) {
                return outcome.name();
            }
            if (waits) {
                if (fed == words.length) {
                    return "HUNG UP";
                }
                input.compact();
                int piece = Math.min(pieceBytes, Math.min(words.length - fed, input.remaining()));
                assertThat(piece).as("room for more").isPositive();
                input.put(words, fed, piece).flip();
                fed += piece;
            }
        }
    }

    @Test
    void aHandshakeComesInPiecesOfAnySize() {
        byte[] whole = FakeServer.goodHandshake();
        for (int piece = 1; piece <= whole.length; piece++) {
            assertThat(fate(Purpose.USE, whole, piece))
                    .as("pieces of %d", piece)
                    .isEqualTo("TRANSMISSION");
        }
    }

    @Test
    void aHandshakeThatIsCutIsNeverASuccess() {
        byte[] whole = FakeServer.goodHandshake();
        for (int cut = 0; cut < whole.length; cut++) {
            assertThat(fate(Purpose.USE, Arrays.copyOf(whole, cut), 7))
                    .as("cut at %d", cut)
                    .isEqualTo("HUNG UP");
        }
    }

    @Test
    void aHandshakeWithBytesChangedEndsInSomeWay() {
        Seeds.run(5000, seed -> {
            Random random = new Random(seed);
            byte[] words = FakeServer.goodHandshake();
            int changes = 1 + random.nextInt(4);
            for (int i = 0; i < changes; i++) {
                int at = random.nextInt(words.length);
                words[at] = switch (random.nextInt(4)) {
                    case 0 -> (byte) 0xff;
                    case 1 -> 0;
                    case 2 -> (byte) (words[at] ^ (1 << random.nextInt(8)));
                    default -> (byte) random.nextInt(256);
                };
            }
            for (Purpose purpose : Purpose.values()) {
                assertThat(fate(purpose, words, 1 + random.nextInt(64)))
                        .isIn("TRANSMISSION", "DONE", "FAILED", "HUNG UP");
            }
        });
    }
}
