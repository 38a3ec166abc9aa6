package dev.ferry.image.ovf;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongConsumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The digests of the files of an appliance: lines such as {@code SHA256(disk1.vmdk)= 9f86…}. Blocking code. */
public final class Manifest {
    private static final int BYTES_MAX = 1 << 20;
    private static final int PIECE_BYTES = 1 << 20;
    private static final Pattern LINE =
            Pattern.compile("(SHA1|SHA256|SHA512)\\s*\\(([^)]{1,255})\\)\\s*=\\s*([0-9A-Fa-f]{40,128})");

    private final FileBytes file;
    private final Map<String, Digest> digests = new HashMap<>();

    private record Digest(String algorithm, String hex) {}

    private Manifest(FileBytes file) {
        this.file = file;
    }

    public static Manifest read(FileBytes file) throws BlockException {
        Manifest manifest = new Manifest(file);
        if (file.lengthBytes() > BYTES_MAX) {
            throw manifest.flaw(file.name(), "it is longer than 1 MiB");
        }
        String text = new String(file.read(0, (int) file.lengthBytes()), StandardCharsets.UTF_8);
        for (String line : text.split("\\R", -1)) {
            Matcher digest = LINE.matcher(line.strip());
            if (digest.matches()) {
                String algorithm = "SHA-" + digest.group(1).substring("SHA".length());
                manifest.digests.put(
                        digest.group(2), new Digest(algorithm, digest.group(3).toLowerCase(Locale.ROOT)));
            } else if (!line.isBlank()) {
                throw manifest.flaw(file.name(), "a line of it is no digest of a file");
            }
        }
        return manifest;
    }

    /** Reads a file and holds it to its digest. */
    public void verify(String name, FileBytes content) throws BlockException {
        verify(name, content, read -> {});
    }

    /**
     * The same.
     *
     * @param read is told of bytes that have been read, as it goes
     */
    public void verify(String name, FileBytes content, LongConsumer read) throws BlockException {
        Digest digest = digests.get(name);
        if (digest == null) {
            throw flaw(name, "the manifest " + file.name() + " has no digest of it");
        }
        MessageDigest found;
        try {
            found = MessageDigest.getInstance(digest.algorithm());
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible);
        }
        byte[] piece = new byte[PIECE_BYTES];
        for (long at = 0; at < content.lengthBytes(); at += PIECE_BYTES) {
            int length = (int) Math.min(PIECE_BYTES, content.lengthBytes() - at);
            content.read(at, piece, 0, length);
            found.update(piece, 0, length);
            read.accept(length);
        }
        if (!HexFormat.of().formatHex(found.digest()).equals(digest.hex())) {
            throw flaw(
                    name,
                    "its " + digest.algorithm() + " is not the one in the manifest " + file.name()
                            + ": it is damaged, or was changed");
        }
    }

    private BlockException flaw(String what, String why) {
        return BlockError.of(ErrorKind.CORRUPT, what, "verify", why).toException();
    }
}
