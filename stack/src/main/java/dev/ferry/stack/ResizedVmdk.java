package dev.ferry.stack;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.Provisioning;
import dev.ferry.image.vmdk.VmdkDescriptor;
import dev.ferry.image.vmdk.VmdkDescriptor.Extent;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkResizer;
import dev.ferry.image.vmdk.VmdkWriter;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Makes VMDK disks longer or shorter that nobody uses. Thread: the control plane; calls block. Used once.
 *
 * <p>A disk that is text and files beside it has its size in the text, and the text names the files: a new one takes the place of the
 * old in one step. Until then no file that the old one names is changed, but that a flat one becomes longer than is said; after it none
 * that the new one names, but that a flat one is cut to what is said. A sparse file says its own size too, so that one that is to have
 * another is copied, under a name of its own. A crash leaves the disk as it was or as it is to be, and may leave files that no text names.
 */
final class ResizedVmdk {
    private static final int SECTOR_BYTES = 512;

    private final DiskLoop loop;
    private final DiskSpec spec;
    private final FileOpener opener;
    private final FileBytes text;
    private final long sizeBytes;
    /** Made for the new size: no text names them so far. */
    private final List<Path> made = new ArrayList<>();
    /** Not named by the new text. */
    private final List<Path> given = new ArrayList<>();

    private ResizedVmdk(DiskLoop loop, DiskSpec spec, FileOpener opener, FileBytes text, long sizeBytes) {
        this.loop = loop;
        this.spec = spec;
        this.opener = opener;
        this.text = text;
        this.sizeBytes = sizeBytes;
    }

    static void resize(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes) throws BlockException {
        int contentId = NewImages.number(loop, spec);
        ImageChanges.change(loop, spec, opener, first -> {
            if (VmdkResizer.isInOneFile(first)) {
                VmdkResizer.resize(first, sizeBytes, contentId);
            } else {
                new ResizedVmdk(loop, spec, opener, first, sizeBytes).resize(contentId);
            }
        });
    }

    private void resize(int contentId) throws BlockException {
        VmdkDescriptor descriptor = VmdkResizer.inFiles(text, sizeBytes);
        List<Extent> had = descriptor.extents();
        boolean flat = had.getFirst().kind() == VmdkDescriptor.Kind.FLAT;
        boolean one = had.size() == 1;
        long bytesMax = VmdkKind.of(descriptor.createType())
                .filter(VmdkKind::apart)
                .map(VmdkKind::extentBytesMax)
                .orElse(one ? Long.MAX_VALUE : VmdkKind.TWO_GB_FLAT.extentBytesMax());
        List<Extent> extents = new ArrayList<>();
        try {
            long left = sizeBytes;
            for (int i = 0; i < had.size(); i++) {
                Extent extent = had.get(i);
                long bytes = extent.sectors() * SECTOR_BYTES;
                long wanted = Math.min(left, i == had.size() - 1 ? Math.max(bytes, bytesMax) : bytes);
                if (wanted == 0) {
                    given.add(spec.path().resolveSibling(extent.fileName()));
                } else {
                    extents.add(wanted == bytes ? extent : changed(extent, i, wanted, flat));
                }
                left -= wanted;
            }
            while (left > 0) {
                long wanted = Math.min(left, bytesMax);
                extents.add(added(extents.size(), wanted, flat));
                left -= wanted;
            }
            replace(spec.path(), VmdkResizer.textOf(text, extents, contentId));
        } finally {
            delete(made);
        }
        if (flat) {
            cut(extents.getLast());
        }
        delete(given);
    }

    // ---- the files

    /** The last file that the disk has, now or then, with another size. */
    private Extent changed(Extent extent, int index, long bytes, boolean flat) throws BlockException {
        if (!flat) {
            Path old = Images.beside(spec, extent.fileName());
            Path copy = file(index, false, partial -> {
                copy(old, partial);
                ImageChanges.change(loop, at(partial), opener, file -> VmdkResizer.resizeExtent(file, bytes));
            });
            given.add(spec.path().resolveSibling(extent.fileName()));
            return new Extent(extent.kind(), bytes / SECTOR_BYTES, name(copy), 0);
        }
        long hadBytes = extent.sectors() * SECTOR_BYTES;
        if (bytes > hadBytes) {
            ImageChanges.change(loop, at(Images.beside(spec, extent.fileName())), opener, file -> {
                if (file.lengthBytes() < hadBytes) {
                    throw Images.refused(spec, "its flat file is shorter than it says");
                }
                // What is behind the end is no part of the disk, and does not become one.
                file.resize(hadBytes);
                file.resize(bytes);
                file.flush();
            });
        }
        return new Extent(extent.kind(), bytes / SECTOR_BYTES, extent.fileName(), 0);
    }

    private Extent added(int index, long bytes, boolean flat) throws BlockException {
        Path file = file(
                index,
                flat,
                partial -> ImageChanges.change(loop, at(partial), opener, empty -> {
                    if (flat) {
                        empty.resize(bytes);
                        empty.flush();
                    } else {
                        VmdkWriter.ofExtent(empty, bytes).finishEmpty();
                    }
                }));
        VmdkDescriptor.Kind kind = flat ? VmdkDescriptor.Kind.FLAT : VmdkDescriptor.Kind.SPARSE;
        return new Extent(kind, bytes / SECTOR_BYTES, name(file), 0);
    }

    /** After the text says so: what a flat file has behind its end goes. */
    private void cut(Extent last) throws BlockException {
        long bytes = last.sectors() * SECTOR_BYTES;
        ImageChanges.change(loop, at(Images.beside(spec, last.fileName())), opener, file -> {
            if (file.lengthBytes() > bytes) {
                file.resize(bytes);
                file.flush();
            }
        });
    }

    private DiskSpec at(Path file) {
        return spec.at(file, Provisioning.THIN);
    }

    private static String name(Path file) {
        return file.getFileName().toString();
    }

    /** Fills a file that is hidden so far. */
    private interface Filling {
        void fill(Path partial) throws BlockException;
    }

    /** Makes a file for a part of the disk, under a name that no other has. */
    private Path file(int index, boolean flat, Filling filling) throws BlockException {
        String disk = name(spec.path());
        String stem = disk.endsWith(".vmdk") ? disk.substring(0, disk.length() - ".vmdk".length()) : disk;
        String number = String.format(Locale.ROOT, "%s-%s%03d", stem, flat ? "f" : "s", index + 1);
        Path file = spec.path().resolveSibling(number + ".vmdk");
        for (int i = 1; Files.exists(file, LinkOption.NOFOLLOW_LINKS); i++) {
            file = spec.path().resolveSibling(number + "-" + i + ".vmdk");
        }
        Path partial = hidden(file);
        try {
            create(partial);
            filling.fill(partial);
            Files.setPosixFilePermissions(partial, permissions());
            Files.move(partial, file);
        } catch (IOException failed) {
            throw failed(failed);
        } finally {
            delete(List.of(partial));
        }
        made.add(file);
        return file;
    }

    private static void copy(Path from, Path to) throws BlockException {
        try {
            Files.copy(from, to, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException failed) {
            throw BlockError.of(ErrorKind.IO, from.toString(), "copy", String.valueOf(failed.getMessage()))
                    .toException();
        }
    }

    private void delete(List<Path> files) throws BlockException {
        try {
            for (Path file : files) {
                Files.deleteIfExists(file);
            }
        } catch (IOException failed) {
            throw failed(failed);
        }
    }

    private static Path hidden(Path file) {
        return file.resolveSibling("." + file.getFileName() + ".resized");
    }

    /** What an earlier command that was killed has left there goes. */
    private static void create(Path partial) throws IOException {
        Files.deleteIfExists(partial);
        Files.createFile(partial, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
    }

    private Set<PosixFilePermission> permissions() throws IOException {
        return Files.getPosixFilePermissions(spec.path());
    }

    /** Puts a text in the place of a file, in one step, durably; for the same people. The names of the other files are durable then. */
    private void replace(Path file, byte[] words) throws BlockException {
        Path partial = hidden(file);
        try {
            create(partial);
            try (FileChannel channel = FileChannel.open(partial, StandardOpenOption.WRITE)) {
                ByteBuffer left = ByteBuffer.wrap(words);
                while (left.hasRemaining()) {
                    int _ = channel.write(left);
                }
                Files.setPosixFilePermissions(partial, permissions());
                channel.force(true);
            }
            sync(file);
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
            // Named from here on, whatever fails.
            made.clear();
            sync(file);
        } catch (IOException failed) {
            throw failed(failed);
        }
    }

    private static void sync(Path file) throws IOException {
        try (FileChannel directory = FileChannel.open(file.resolveSibling("."), StandardOpenOption.READ)) {
            directory.force(true);
        }
    }

    private BlockException failed(IOException cause) {
        return cause instanceof BlockException known
                ? known
                : BlockError.of(ErrorKind.IO, spec.path().toString(), "resize", String.valueOf(cause.getMessage()))
                        .toException();
    }
}
