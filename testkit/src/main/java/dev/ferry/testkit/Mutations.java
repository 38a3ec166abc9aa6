package dev.ferry.testkit;

import java.util.Arrays;
import java.util.Random;

/** Bytes as a fuzzer without guidance changes them: some of them others, some left out, some put in twice. */
public final class Mutations {
    private static final int CHANGES_MAX = 6;
    private static final int PIECE_BYTES_MAX = 64;

    private Mutations() {}

    /**
     * A changed copy.
     *
     * @param good not empty
     * @param headBytes bytes are changed within these first ones, where headers are
     */
    public static byte[] of(Random random, byte[] good, int headBytes) {
        byte[] words = good.clone();
        for (int i = random.nextInt(CHANGES_MAX); i >= 0; i--) {
            int at = random.nextInt(Math.min(words.length, headBytes));
            words[at] = switch (random.nextInt(4)) {
                case 0 -> (byte) 0xff;
                case 1 -> 0;
                case 2 -> (byte) (words[at] ^ (1 << random.nextInt(8)));
                default -> (byte) random.nextInt(256);
            };
        }
        int from = random.nextInt(words.length);
        int to = from + random.nextInt(Math.min(PIECE_BYTES_MAX, words.length - from));
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
}
