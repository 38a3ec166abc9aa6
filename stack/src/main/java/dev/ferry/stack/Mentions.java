package dev.ferry.stack;

import dev.ferry.block.BlockException;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vmdk.VmdkDescriptor;
import dev.ferry.image.vmdk.VmdkImage;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/**
 * Which files name a file, as what they lie over or as a part of their disk, or may do so since they cannot be read. By the name alone:
 * whether it may be opened there is another question. What a guest has written to a raw disk may look like such a file; it is better
 * to believe that than not. A file that another one names as a part of its disk names nothing itself: the parts of a VMDK disk look like
 * disks, and have no descriptor. Thread: the control plane; calls block.
 */
final class Mentions {
    private static final Pattern PROTOCOL = Pattern.compile("[A-Za-z0-9+.-]+:");

    private final DiskLoop loop;
    private final FileOpener opener;
    private final Path wanted;
    private final Set<Path> parts = new HashSet<>();
    private final List<Path> unreadable = new ArrayList<>();

    /** @param wanted as {@link Path#toRealPath} has it */
    Mentions(DiskLoop loop, FileOpener opener, Path wanted) {
        this.loop = loop;
        this.opener = opener;
        this.wanted = wanted;
    }

    /**
     * A name that a file has for another one.
     *
     * @param text as it stands there
     * @param part it is a part of the disk, and not below it
     */
    private record Name(String text, boolean part) {}

    /**
     * Those in its directory and in those above it up to one: wherever a file may lie for which Ferry opens it.
     *
     * @param onlyAsPart those that lie over it are not wanted, nor those that cannot be read
     */
    List<Path> upTo(Path upTo, boolean onlyAsPart) throws IOException {
        List<Path> found = new ArrayList<>();
        boolean _ = names(wanted, true);
        Path directory = wanted.getParent();
        for (boolean first = true;
                directory != null && (first || directory.startsWith(upTo));
                directory = directory.getParent(), first = false) {
            try (DirectoryStream<Path> files = Files.newDirectoryStream(directory)) {
                for (Path file : files) {
                    boolean other = Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS) && !file.equals(wanted);
                    if (other && names(file, onlyAsPart)) {
                        found.add(file);
                    }
                }
            }
        }
        unreadable.stream().filter(file -> !parts.contains(file)).forEach(found::add);
        return found;
    }

    /** Those that cannot be read are put aside. */
    private boolean names(Path file, boolean onlyAsPart) {
        DiskSpec bare = new DiskSpec(String.valueOf(file.getFileName()), file, Provisioning.THIN, true, false);
        try {
            boolean named = false;
            for (Name name : namesIn(bare.in(Images.probe(loop, bare, opener)))) {
                if (name.part()) {
                    parts.add(file.resolveSibling(name.text()).normalize());
                }
                named |= (name.part() || !onlyAsPart) && leadsThere(file, name.text());
            }
            return named;
        } catch (IOException | InvalidPathException unread) {
            if (!onlyAsPart && Files.exists(file)) {
                unreadable.add(file);
            }
            return false;
        }
    }

    private boolean leadsThere(Path file, String name) throws IOException {
        try {
            return wanted.equals(file.resolveSibling(name).toRealPath());
        } catch (NoSuchFileException gone) {
            // By a way to open files that is not Ferry's: it may be this one.
            return PROTOCOL.matcher(name).lookingAt();
        }
    }

    private List<Name> namesIn(DiskSpec spec) throws BlockException {
        return Images.with(loop, spec, opener, bytes -> switch (spec.format()) {
            case RAW -> List.of();
            case QCOW2 -> in(Qcow2Description.of(bytes));
            case VMDK -> {
                VmdkDescriptor descriptor = VmdkImage.descriptor(bytes);
                yield descriptor == null ? List.of() : in(descriptor);
            }
            case VHD -> in(VhdImage.open(bytes));
            case VHDX -> in(VhdxImage.open(bytes));
        });
    }

    private static List<Name> in(Qcow2Description image) {
        List<Name> names = new ArrayList<>();
        String below = image.backingName();
        String data = image.dataFileName();
        if (below != null) {
            names.add(new Name(below, false));
        }
        if (data != null) {
            names.add(new Name(data, true));
        }
        return names;
    }

    /** The parent of one of ESX is named by a path on that host. */
    private static List<Name> in(VmdkDescriptor descriptor) {
        List<Name> names = new ArrayList<>();
        if (descriptor.delta()) {
            String hint = descriptor.parentHint();
            names.add(new Name(Neighbours.lastOf(hint), false));
            if (hint.startsWith("/")) {
                names.add(new Name(hint, false));
            }
        }
        for (VmdkDescriptor.Extent extent : descriptor.extents()) {
            if (extent.kind() != VmdkDescriptor.Kind.ZERO) {
                names.add(new Name(extent.fileName(), true));
            }
        }
        return names;
    }

    private static List<Name> in(DeltaFile file) {
        return file.parentNames().stream().map(name -> new Name(name, false)).toList();
    }
}
