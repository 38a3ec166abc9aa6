package dev.ferry.datastore;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;

/**
 * What is done to a disk's file as a file: publish it, take it away. A file is known by its path and by its identity,
 * device and inode, so that work that is done again after a crash never touches another file that has the name now.
 *
 * <p>Everything here may be done twice. Any thread; calls block; what they did is durable when they return.
 */
public final class DiskFiles {
    private static final String PARTIAL_SUFFIX = ".partial";

    private DiskFiles() {}

    /**
     * What tells the file at a path from every other file that there is now, to be asked for with {@link #isFile}: the number of
     * its device, that of its inode, and its birth in nanoseconds since 1970, with colons between them. Devices get their
     * numbers as they come up, so that the first may be another after a restart of the host. Where a file system keeps no time
     * of birth, the third means nothing.
     */
    public static String identityOf(Path path) throws BlockException {
        try {
            return identity(path);
        } catch (IOException e) {
            throw failure(path.toString(), "look at", e);
        }
    }

    /** Whether the file at a path is the one of that identity; false if there is none. */
    public static boolean isFile(Path path, String identity) throws BlockException {
        try {
            return is(path, identity);
        } catch (IOException e) {
            throw failure(path.toString(), "look at", e);
        }
    }

    /**
     * Whether a file's directory is there, and on the file system that the file of that identity is, or was, on. Where the
     * device has another number since, that is told by the file, under its name or the hidden one; without it the answer is no.
     */
    public static boolean sameFileSystem(Path file, String identity) {
        try {
            Object device = Files.getAttribute(file.resolveSibling("."), "unix:dev");
            return identity.startsWith(device + ":") || is(file, identity) || is(partialOf(file), identity);
        } catch (IOException e) {
            return false;
        }
    }

    private static String identity(Path path) throws IOException {
        Map<String, Object> facts = Files.readAttributes(path, "unix:dev,ino,creationTime", LinkOption.NOFOLLOW_LINKS);
        FileTime birth = (FileTime) Objects.requireNonNull(facts.get("creationTime"));
        return facts.get("dev") + ":" + facts.get("ino") + ":" + birth.to(TimeUnit.NANOSECONDS);
    }

    /** The hidden name that a disk's file has while it is made. */
    public static Path partialOf(Path file) {
        return file.resolveSibling("." + file.getFileName() + PARTIAL_SUFFIX);
    }

    /** The name that the file of a hidden name gets when it is published. */
    public static Path publishedOf(Path partial) {
        String hidden = partial.getFileName().toString();
        return partial.resolveSibling(hidden.substring(1, hidden.length() - PARTIAL_SUFFIX.length()));
    }

    /** What people are told that a file is called: also while it is hidden, the name that it is published under. */
    public static Path shownOf(Path file) {
        Path name = file.getFileName();
        return name != null
                        && name.toString().startsWith(".")
                        && name.toString().endsWith(PARTIAL_SUFFIX)
                ? publishedOf(file)
                : file;
    }

    /**
     * Gives a file that has its hidden name its real one; does nothing where it has that already.
     *
     * @throws BlockException of kind {@link ErrorKind#BUSY} if another file has the name
     */
    public static void publish(Path file, String identity) throws BlockException {
        Path partial = partialOf(file);
        try {
            if (!is(file, identity)) {
                try (FileChannel channel =
                        FileChannel.open(partial, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
                    channel.force(true);
                }
                link(partial, file);
            }
            if (is(partial, identity)) {
                Files.delete(partial);
            }
            sync(file);
        } catch (IOException e) {
            throw failure(file.toString(), "publish", e);
        }
    }

    /**
     * Gives a published file its hidden name back; does nothing where it has only that.
     *
     * @throws BlockException of kind {@link ErrorKind#BUSY} if another file has the hidden name
     */
    public static void hide(Path file, String identity) throws BlockException {
        Path partial = partialOf(file);
        try {
            if (is(file, identity)) {
                if (!is(partial, identity)) {
                    link(file, partial);
                    sync(file);
                }
                Files.deleteIfExists(file);
                sync(file);
            }
        } catch (IOException e) {
            throw failure(file.toString(), "hide", e);
        }
    }

    /** Gives a file one more name, or another where there are no links; fails if that is taken. */
    static void link(Path from, Path to) throws IOException {
        try {
            Files.createLink(to, from);
        } catch (FileAlreadyExistsException e) {
            throw e;
        } catch (UnsupportedOperationException | FileSystemException noHardLinks) {
            if (Files.exists(to, LinkOption.NOFOLLOW_LINKS)) {
                throw new FileAlreadyExistsException(to.toString());
            }
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    /**
     * Deletes a file, if it is that very one. Its room comes back afterwards, so gradually that guests do not feel it.
     *
     * @return whether it was there
     */
    public static boolean delete(Path file, String identity) throws BlockException {
        try {
            boolean there = is(file, identity) && GradualDelete.delete(file);
            if (there) {
                sync(file);
            }
            return there;
        } catch (IOException e) {
            throw failure(file.toString(), "delete", e);
        }
    }

    /** Takes a disk in the making away, by whichever of its names it has. */
    public static void discard(Path file, String identity) throws BlockException {
        delete(partialOf(file), identity);
        delete(file, identity);
    }

    /** Takes the file with the hidden name away, of which it is not known whether it was made. */
    public static void discardPartial(Path file) throws BlockException {
        Path partial = partialOf(file);
        try {
            if (GradualDelete.delete(partial)) {
                sync(file);
            }
        } catch (IOException e) {
            throw failure(partial.toString(), "delete", e);
        }
    }

    private static boolean is(Path path, String identity) throws IOException {
        try {
            String[] here = identity(path).split(":", -1);
            String[] wanted = identity.split(":", -1);
            boolean sameInode = here[1].equals(wanted[1]);
            boolean sameDevice = here[0].equals(wanted[0]);
            boolean sameBirth = wanted.length == here.length && here[2].equals(wanted[2]);
            return sameInode && (sameDevice || sameBirth);
        } catch (NoSuchFileException e) {
            return false;
        }
    }

    private static void sync(Path file) throws IOException {
        syncDirectory(file.resolveSibling("."));
    }

    /** Makes names that were made in a directory, or taken away, durable. */
    static void syncDirectory(Path directory) throws IOException {
        try (FileChannel channel = FileChannel.open(directory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /** An error of the file system as one of ours, in words that people use. */
    static BlockException failure(String device, String operation, IOException cause) {
        if (cause instanceof BlockException block) {
            return block;
        }
        String file = cause instanceof FileSystemException at ? String.valueOf(at.getFile()) : device;
        String text = String.valueOf(cause.getMessage());
        ErrorKind kind = switch (cause) {
            case FileAlreadyExistsException _ -> ErrorKind.BUSY;
            case NoSuchFileException _ -> ErrorKind.NOT_FOUND;
            case AccessDeniedException _ -> ErrorKind.ACCESS;
            default -> text.contains("No space left") ? ErrorKind.NO_SPACE : ErrorKind.IO;
        };
        String detail = switch (kind) {
            case BUSY -> file + " exists already";
            case NOT_FOUND -> file + " does not exist";
            case ACCESS -> file + " is not accessible for this user";
            case NO_SPACE -> "no space left";
            default -> text;
        };
        return new BlockError(kind, device, operation, -1, -1, detail, cause).toException();
    }
}
