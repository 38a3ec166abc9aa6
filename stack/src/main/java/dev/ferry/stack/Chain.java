package dev.ferry.stack;

import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Description;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The files that a disk is made of: its own, then the backing file of that, and so on. A file is looked at only where it may be
 * opened as a backing file (see {@link Images}), and only its header is read.
 *
 * @param layers from the top; at least one
 */
public record Chain(List<Layer> layers) {
    /** A directory with more files than that is not searched for those that share a layer. */
    private static final int FILES_MAX = 100_000;

    private static final Pattern PROTOCOL = Pattern.compile("[A-Za-z0-9+.-]+:");

    /**
     * A file of a chain.
     *
     * @param spec how it is opened as a layer
     * @param sizeBytes of the disk in it
     * @param allocatedBytes what it takes in its file system
     * @param sharedBy other files that lie over it too, in its directory; those that belong to the chain are not among them
     */
    public record Layer(DiskSpec spec, long sizeBytes, long allocatedBytes, List<Path> sharedBy) {
        public Layer {
            sharedBy = List.copyOf(sharedBy);
        }

        public Path path() {
            return spec.path();
        }
    }

    public Chain {
        layers = List.copyOf(layers);
    }

    public Layer top() {
        return layers.getFirst();
    }

    /** How many files there are below the top. */
    public int depth() {
        return layers.size() - 1;
    }

    /** Looks at a disk, in use or not. */
    public static Chain of(DiskLoop loop, DiskSpec top, FileOpener opener) throws BlockException {
        List<DiskSpec> specs = new ArrayList<>();
        List<Long> sizes = new ArrayList<>();
        DiskSpec next = top.asReadOnly().cached();
        while (next != null) {
            if (specs.size() == Images.CHAIN_MAX) {
                throw Images.refused(
                        top, "its chain of backing files is longer than " + Images.CHAIN_MAX + ", or a circle");
            }
            DiskSpec now = next;
            specs.add(now);
            sizes.add(Images.sizeBytes(loop, now, opener));
            next = below(loop, now, opener);
        }
        List<Layer> layers = new ArrayList<>();
        for (int i = 0; i < specs.size(); i++) {
            DiskSpec spec = specs.get(i);
            List<Path> sharers = i == 0 ? List.of() : sharers(loop, opener, spec.path(), specs);
            layers.add(new Layer(spec, sizes.get(i), Stacks.allocatedBytes(spec.path()), sharers));
        }
        return new Chain(layers);
    }

    private static @Nullable DiskSpec below(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        if (spec.format() != ImageFormat.QCOW2) {
            return Parents.of(loop, spec, opener);
        }
        Qcow2Description told = Images.describe(loop, spec, opener);
        String named = told.backingName();
        return named == null ? null : Images.below(spec, named, told.backingFormat());
    }

    /**
     * Other images in the directory of a file that name it as their backing file or parent. What a guest has written to a raw disk may look
     * like such an image; it is better to believe that than not.
     */
    private static List<Path> sharers(DiskLoop loop, FileOpener opener, Path base, List<DiskSpec> own)
            throws BlockException {
        TreeSet<Path> found = new TreeSet<>();
        int looked = 0;
        try (DirectoryStream<Path> files = Files.newDirectoryStream(base.resolveSibling("."))) {
            for (Path entry : files) {
                Path file = entry.normalize();
                boolean candidate = Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                        && own.stream().noneMatch(spec -> spec.path().equals(file));
                if (candidate && looked++ < FILES_MAX && liesOver(loop, opener, file, base)) {
                    found.add(file);
                }
            }
        } catch (IOException unseen) {
            throw Images.refused(
                    own.getFirst(), "the directory of " + base + " cannot be read: " + unseen.getMessage());
        }
        return new ArrayList<>(found);
    }

    /**
     * Files that name a file as their backing file, or may do so since they cannot be read, in its directory and in those above it up to
     * one: wherever an overlay may lie that Ferry opens.
     *
     * @param base as {@link Path#toRealPath} has it
     */
    static List<Path> over(DiskLoop loop, FileOpener opener, Path base, Path upTo) throws IOException {
        List<Path> found = new ArrayList<>();
        Path directory = base.getParent();
        for (boolean first = true;
                directory != null && (first || directory.startsWith(upTo));
                directory = directory.getParent(), first = false) {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
                for (Path file : files) {
                    boolean other = Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) && !file.equals(base);
                    if (other && mayLieOver(loop, opener, file, base)) {
                        found.add(file);
                    }
                }
            }
        }
        return found;
    }

    private static boolean mayLieOver(DiskLoop loop, FileOpener opener, Path file, Path base) {
        DiskSpec spec = new DiskSpec(
                String.valueOf(file.getFileName()), file, Provisioning.THIN, true, false, ImageFormat.QCOW2);
        try {
            if (Images.probe(loop, spec.in(ImageFormat.RAW), opener) != ImageFormat.QCOW2) {
                return false;
            }
            String named = Images.describe(loop, spec, opener).backingName();
            if (named != null && PROTOCOL.matcher(named).lookingAt()) {
                // By a way to open files that is not Ferry's: it may be this one.
                return true;
            }
            // By the name alone: whether it may be opened there is another question.
            return named != null
                    && base.equals(spec.path().resolveSibling(named).toRealPath());
        } catch (NoSuchFileException gone) {
            return false;
        } catch (IOException | InvalidPathException unreadable) {
            return Files.exists(file);
        }
    }

    private static boolean liesOver(DiskLoop loop, FileOpener opener, Path file, Path base) {
        DiskSpec bare = new DiskSpec(String.valueOf(file.getFileName()), file, Provisioning.THIN, true, false);
        try {
            DiskSpec below = parentOf(loop, opener, bare.in(Images.probe(loop, bare, opener)));
            return below != null && below.path().equals(base);
        } catch (BlockException unreadable) {
            // Not to be opened as an overlay of anything.
            return false;
        }
    }

    /** What lies below, whatever an overlay says of its format. */
    private static @Nullable DiskSpec parentOf(DiskLoop loop, FileOpener opener, DiskSpec spec) throws BlockException {
        if (spec.format() != ImageFormat.QCOW2) {
            return Parents.of(loop, spec, opener);
        }
        String named = Images.describe(loop, spec, opener).backingName();
        return named == null ? null : spec.at(Images.beside(spec, named), Provisioning.THIN);
    }
}
