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
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * A file in the making, with those that it has beside it: for its owner only, and under its name only when it is complete; nothing is
 * ever replaced. What a command that was killed has left of it is taken away by the next one that makes it ({@link MakersMark}).
 */
final class NewImage implements AutoCloseable {
    private final Path file;
    private final Path partial;
    private final MakersMark mark;
    private final String identity;
    private final List<NewImage> parts = new ArrayList<>();
    private boolean published;

    NewImage(Path wanted) throws IOException {
        this(wanted, false);
    }

    private NewImage(Path wanted, boolean part) throws IOException {
        file = wanted.toAbsolutePath().normalize();
        partial = DiskFiles.partialOf(file);
        if (!part) {
            refuseIfThere(wanted);
        }
        MakersMark taken = take();
        try {
            sweep(taken, part);
            refuseIfThere(wanted);
            identity = create();
            taken.of(identity);
        } catch (IOException | RuntimeException failed) {
            taken.close();
            throw failed;
        }
        mark = taken;
    }

    private void refuseIfThere(Path wanted) throws IOException {
        if (Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException(wanted + " exists already; remove it, or choose another name");
        }
    }

    private MakersMark take() throws IOException {
        try {
            return MakersMark.take(file);
        } catch (NoSuchFileException e) {
            throw new IOException("there is no directory " + partial.getParent(), e);
        }
    }

    /** Takes away what a command that was killed has left; of a part also where that was complete, since what it is a part of was not. */
    private void sweep(MakersMark taken, boolean part) throws IOException {
        String left = taken.left();
        if (left == null) {
            return;
        }
        if (left.isEmpty()) {
            if (Files.isRegularFile(partial, LinkOption.NOFOLLOW_LINKS) && Files.size(partial) == 0) {
                DiskFiles.discardPartial(file);
            }
            return;
        }
        DiskFiles.delete(partial, left);
        if (part) {
            DiskFiles.delete(file, left);
        }
    }

    private String create() throws IOException {
        var ownerOnly = PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));
        Set<OpenOption> exclusively =
                Set.of(StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        try (FileChannel _ = FileChannel.open(partial, exclusively, ownerOnly)) {
            return DiskFiles.identityOf(partial);
        } catch (FileAlreadyExistsException e) {
            throw new IOException(partial + " is there: a daemon makes this file, or somebody has left it", e);
        }
    }

    /** Where it is until it is complete. */
    Path partial() {
        return partial;
    }

    /** One that it has beside it, which is published and taken away with it. */
    NewImage part(Path wanted) throws IOException {
        NewImage part = new NewImage(wanted, true);
        parts.add(part);
        return part;
    }

    void publish() throws BlockException {
        for (NewImage part : parts) {
            part.publish();
        }
        DiskFiles.publish(file, identity);
        published = true;
    }

    /** Takes it away if it did not become complete. */
    @Override
    public void close() throws IOException {
        if (!published) {
            discard();
        }
        for (NewImage part : parts) {
            part.mark.close();
        }
        mark.close();
    }

    private void discard() throws BlockException {
        for (NewImage part : parts) {
            part.discard();
        }
        DiskFiles.discard(file, identity);
    }
}
