package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.datastore.DiskFiles;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Set;

/** A file in the making: for its owner only, and under its name only when it is complete; nothing is ever replaced. */
final class NewImage implements AutoCloseable {
    private final Path file;
    private final Path partial;
    private final String identity;
    private boolean published;

    NewImage(Path wanted) throws IOException {
        file = wanted.toAbsolutePath().normalize();
        partial = DiskFiles.partialOf(file);
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException(wanted + " exists already; remove it, or choose another name");
        }
        var ownerOnly = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        Set<OpenOption> exclusively =
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        try (FileChannel _ = FileChannel.open(partial, exclusively, ownerOnly)) {
            identity = DiskFiles.identityOf(partial);
        } catch (FileAlreadyExistsException e) {
            throw new IOException(partial + " is there: another command makes this file, or one has left it", e);
        } catch (NoSuchFileException e) {
            throw new IOException("there is no directory " + partial.getParent(), e);
        }
    }

    /** Where it is until it is complete. */
    Path partial() {
        return partial;
    }

    void publish() throws BlockException {
        DiskFiles.publish(file, identity);
        published = true;
    }

    /** Takes it away if it did not become complete. */
    @Override
    public void close() throws BlockException {
        if (!published) {
            DiskFiles.discard(file, identity);
        }
    }
}
