package dev.ferry.server;

import dev.ferry.server.client.DaemonClient;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The directory that belongs to one daemon: inventory, journal, sockets, locks. Only its owner may enter it.
 *
 * @param path absolute
 */
public record DataDirectory(Path path) {
    /** A unix socket's path, with its closing zero, takes 108 bytes; the longest name below follows the directory's. */
    private static final int PATH_BYTES_MAX = 107 - "/ferry.sock.1234567".length();

    /** Where it is unless {@code --data} says so: {@code FERRY_DATA}, or below the user's home. */
    public static DataDirectory standard(Map<String, String> environment) {
        String chosen = environment.get("FERRY_DATA");
        if (chosen != null && !chosen.isEmpty()) {
            return of(Path.of(chosen));
        }
        String share = environment.get("XDG_DATA_HOME");
        if (share != null && share.startsWith("/")) {
            return of(Path.of(share, "ferry"));
        }
        String home = environment.get("HOME");
        boolean known = home != null && home.startsWith("/");
        return of(Path.of(known ? home : System.getProperty("user.home", "/"), ".local", "share", "ferry"));
    }

    public static DataDirectory of(Path path) {
        return new DataDirectory(path.toAbsolutePath().normalize());
    }

    /** The REST interface. */
    public Path restSocket() {
        return path.resolve("ferry.sock");
    }

    /** Every disk that is attached without an address of its own. */
    public Path nbdSocket() {
        return path.resolve("nbd.sock");
    }

    /** From the daemon to its supervisor. */
    public Path notifySocket() {
        return path.resolve("notify.sock");
    }

    public Path inventory() {
        return path.resolve("inventory.db");
    }

    public Path journal() {
        return path.resolve("journal");
    }

    /** Dirty bitmaps of disks. */
    public Path bitmaps() {
        return path.resolve("bitmaps");
    }

    /** The jobs on chains of disks. */
    public Path chains() {
        return path.resolve("chains");
    }

    /** Disks of several files that are being removed. */
    public Path removals() {
        return path.resolve("removals");
    }

    /** What a daemon leaves for the one that takes over from it. */
    public Path handover() {
        return path.resolve("handover");
    }

    /** For files that need not be there after a restart. */
    public Path scratch() {
        return path.resolve("tmp");
    }

    /** Speaks with the daemon that has this directory, or that is about to. */
    public DaemonClient client() {
        return new DaemonClient(path, restSocket(), List.of(notifySocket(), nbdSocket()));
    }

    /** Makes the directory if it is not there. The message of an error is one line for people. */
    public void make() throws IOException {
        if (path.toString().getBytes(StandardCharsets.UTF_8).length > PATH_BYTES_MAX) {
            throw new IOException("the data directory's path is longer than the " + PATH_BYTES_MAX
                    + " bytes that leave room for its sockets: " + path + "; choose a shorter one with --data");
        }
        try {
            var owner = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------"));
            Path parent = path.getParent();
            if (parent != null) {
                Files.createDirectories(parent);
            }
            if (!Files.isDirectory(path)) {
                Files.createDirectory(path, owner);
            }
            if (!Files.isDirectory(scratch())) {
                Files.createDirectory(scratch(), owner);
            }
        } catch (FileAlreadyExistsException exists) {
            throw new IOException(
                    "the data directory " + path + " is not a directory; choose another with --data", exists);
        } catch (IOException failed) {
            throw new IOException(
                    "the data directory " + path + " cannot be made: " + reason(failed)
                            + "; choose another with --data",
                    failed);
        }
        if (!Files.isWritable(path)) {
            throw new IOException("the data directory " + path
                    + " cannot be written; change its rights, or choose another with --data");
        }
    }

    /** What an exception of the file system means, without the path that Java puts in front of it. */
    static String reason(IOException failed) {
        String kind = failed.getClass().getSimpleName().replace("Exception", "");
        return switch (kind) {
            case "AccessDenied" -> "permission denied";
            case "NoSuchFile" -> "no such file or directory";
            case "NotDirectory" -> "not a directory";
            case "FileAlreadyExists" -> "it exists already";
            default -> {
                String message = String.valueOf(failed.getMessage());
                int colon = message.lastIndexOf(": ");
                yield (colon < 0 ? message : message.substring(colon + 2)).toLowerCase(Locale.ROOT);
            }
        };
    }

    /** A lock that ends with its holder. */
    public static final class Hold implements AutoCloseable {
        private final FileChannel channel;

        private Hold(FileChannel channel) {
            this.channel = channel;
        }

        @Override
        public void close() throws IOException {
            channel.close();
        }
    }

    /**
     * Takes the directory for this process.
     *
     * @param role {@code daemon} or {@code supervisor}: each is held once
     * @param wait wait for whoever holds it, instead of failing
     */
    public Hold hold(String role, boolean wait) throws IOException {
        FileChannel channel = FileChannel.open(
                path.resolve(role + ".lock"),
                StandardOpenOption.CREATE,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE);
        try {
            if (wait) {
                FileLock _ = channel.lock();
            } else if (lockOrNull(channel) == null) {
                throw new IOException("another ferry daemon " + holder(channel) + "has the data directory " + path
                        + "; stop it, or choose another directory with --data");
            }
            channel.truncate(0);
            channel.write(
                    ByteBuffer.wrap(Long.toString(ProcessHandle.current().pid()).getBytes(StandardCharsets.US_ASCII)));
            return new Hold(channel);
        } catch (IOException failed) {
            channel.close();
            throw failed;
        }
    }

    private static @Nullable FileLock lockOrNull(FileChannel channel) throws IOException {
        try {
            return channel.tryLock();
        } catch (OverlappingFileLockException ours) {
            return null;
        }
    }

    private static String holder(FileChannel channel) throws IOException {
        ByteBuffer pid = ByteBuffer.allocate(20);
        channel.read(pid, 0);
        String text = new String(pid.array(), 0, pid.position(), StandardCharsets.US_ASCII);
        return text.matches("[0-9]+") ? "(process " + text + ") " : "";
    }
}
