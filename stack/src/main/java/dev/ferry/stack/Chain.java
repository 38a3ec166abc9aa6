package dev.ferry.stack;

import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Description;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
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

    /**
     * A file of a chain.
     *
     * @param spec how it is opened as a layer
     * @param sizeBytes of the disk in it
     * @param allocatedBytes what it takes in its file system, its parts too
     * @param parts files that hold it besides its own
     * @param sharedBy other files that lie over it too, in its directory; those that belong to the chain are not among them
     */
    public record Layer(DiskSpec spec, long sizeBytes, long allocatedBytes, List<Path> parts, List<Path> sharedBy) {
        public Layer {
            parts = List.copyOf(parts);
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

    /** What all of its files take in their file systems, in bytes. */
    public long allocatedBytes() {
        return layers.stream().mapToLong(Layer::allocatedBytes).sum();
    }

    /** Looks at a disk, in use or not. */
    public static Chain of(DiskLoop loop, DiskSpec top, FileOpener opener) throws BlockException {
        return of(loop, top, opener, true);
    }

    /** The same, and does not look for others that share its files, which takes its time where a directory has many. */
    static Chain alone(DiskLoop loop, DiskSpec top, FileOpener opener) throws BlockException {
        return of(loop, top, opener, false);
    }

    private static Chain of(DiskLoop loop, DiskSpec top, FileOpener opener, boolean shared) throws BlockException {
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
            sizes.add(sizeBytes(loop, now, opener));
            next = below(loop, now, opener);
        }
        List<Layer> layers = new ArrayList<>();
        for (int i = 0; i < specs.size(); i++) {
            DiskSpec spec = specs.get(i);
            List<Path> parts = shared ? DiskParts.seen(loop, spec, opener) : DiskParts.of(loop, spec, opener);
            long allocated = Stacks.allocatedBytes(spec.path());
            for (Path part : parts) {
                allocated += Stacks.allocatedBytes(part);
            }
            List<Path> sharers = i == 0 || !shared ? List.of() : sharers(loop, opener, spec.path(), specs);
            layers.add(new Layer(spec, sizes.get(i), allocated, parts, sharers));
        }
        return new Chain(layers);
    }

    /** A raw disk in a file need not be opened for that. */
    private static long sizeBytes(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        try {
            return spec.format() == ImageFormat.RAW && Files.isRegularFile(spec.path())
                    ? Files.size(spec.path())
                    : Images.sizeBytes(loop, spec, opener);
        } catch (BlockException e) {
            throw e;
        } catch (IOException gone) {
            throw Images.refused(spec, "it cannot be looked at: " + gone.getMessage());
        }
    }

    private static @Nullable DiskSpec below(DiskLoop loop, DiskSpec spec, FileOpener opener) throws BlockException {
        if (spec.format() == ImageFormat.RAW) {
            return null;
        }
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
