package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Keys that both ends of a connection have beforehand, by the names of those who have them. A file of lines {@code
 * NAME:KEY}, the key in hexadecimal, as psktool makes them and QEMU, nbdkit and libnbd read them; empty lines, and those that
 * begin with {@code #}, mean nothing. Immutable.
 */
public final class PskKeys {
    /** A key of less can be guessed. */
    private static final int KEY_BYTES_MIN = 16;

    private static final int KEY_BYTES_MAX = 64;
    private static final int NAME_BYTES_MAX = 128;
    private static final int FILE_BYTES_MAX = 1 << 20;

    private final Map<String, byte[]> keys;

    private PskKeys(Map<String, byte[]> keys) {
        this.keys = keys;
    }

    /** @throws IOException one line that names the file, and what is wrong with it; never a key */
    public static PskKeys read(Path file) throws IOException {
        if (Files.size(file) > FILE_BYTES_MAX) {
            throw new IOException(file + " is too long for a file of keys");
        }
        Map<String, byte[]> keys = new LinkedHashMap<>();
        int number = 0;
        for (String line : Files.readString(file).split("\n", -1)) {
            number++;
            String text = line.strip();
            if (!text.isEmpty() && !text.startsWith("#")) {
                add(keys, text, file + ", line " + number + ": ");
            }
        }
        if (keys.isEmpty()) {
            throw new IOException(file + " has no key");
        }
        return new PskKeys(keys);
    }

    private static void add(Map<String, byte[]> keys, String text, String where) throws IOException {
        int colon = text.lastIndexOf(':');
        String name = colon < 0 ? "" : text.substring(0, colon);
        if (name.isEmpty() || name.getBytes(StandardCharsets.UTF_8).length > NAME_BYTES_MAX) {
            throw new IOException(where + "this is not NAME:KEY");
        }
        byte[] key;
        try {
            key = HexFormat.of().parseHex(text.substring(colon + 1));
        } catch (IllegalArgumentException notHexadecimal) {
            throw new IOException(where + "the key is not hexadecimal");
        }
        if (key.length < KEY_BYTES_MIN || key.length > KEY_BYTES_MAX) {
            throw new IOException(where + "a key has " + KEY_BYTES_MIN + " to " + KEY_BYTES_MAX + " bytes");
        }
        if (keys.put(name, key) != null) {
            throw new IOException(where + "there is another key for " + name);
        }
    }

    /** Who has a key, in the order of the file. */
    public Set<String> names() {
        return Set.copyOf(keys.keySet());
    }

    byte @Nullable [] key(String name) {
        byte[] key = keys.get(name);
        return key == null ? null : key.clone();
    }

    /** The only name there is, or null. */
    @Nullable
    String onlyName() {
        return keys.size() == 1 ? keys.keySet().iterator().next() : null;
    }
}
