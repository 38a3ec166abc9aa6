package dev.ferry.stack;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.Provisioning;
import dev.ferry.image.vmdk.VmdkDescriptor;
import dev.ferry.image.vmdk.VmdkResizer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;

/**
 * Makes VMDK disks longer or shorter that nobody uses: in one sparse file, or in a text and a flat file. The text of the latter
 * says the size; a new one takes the place of the old in one step, when the flat file is long enough for both. Thread: the control
 * plane; calls block.
 */
final class ResizedVmdk {
    private static final int SECTOR_BYTES = 512;

    private ResizedVmdk() {}

    static void resize(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes) throws BlockException {
        int contentId = NewImages.number(loop, spec);
        ImageChanges.change(loop, spec, opener, first -> {
            if (VmdkResizer.isInOneFile(first)) {
                VmdkResizer.resize(first, sizeBytes, contentId);
            } else {
                flat(loop, spec, opener, first, sizeBytes, contentId);
            }
        });
    }

    private static void flat(
            DiskLoop loop, DiskSpec spec, FileOpener opener, FileBytes first, long sizeBytes, int contentId)
            throws BlockException {
        VmdkDescriptor.Extent extent = VmdkResizer.flat(first);
        byte[] text = VmdkResizer.flatText(first, sizeBytes, contentId);
        long hadBytes = extent.sectors() * SECTOR_BYTES;
        DiskSpec part = spec.at(Images.beside(spec, extent.fileName()), Provisioning.THIN);
        if (sizeBytes > hadBytes) {
            ImageChanges.change(loop, part, opener, bytes -> {
                if (bytes.lengthBytes() < hadBytes) {
                    throw Images.refused(spec, "its flat file is shorter than it says");
                }
                // What is behind the end is no part of the disk, and does not become one.
                bytes.resize(hadBytes);
                bytes.resize(sizeBytes);
                bytes.flush();
            });
        }
        replace(spec.path(), text);
        if (sizeBytes < hadBytes) {
            ImageChanges.change(loop, part, opener, bytes -> {
                bytes.resize(sizeBytes);
                bytes.flush();
            });
        }
    }

    /** Puts a text in the place of a file, in one step, durably; for the same people. */
    private static void replace(Path file, byte[] text) throws BlockException {
        Path partial = file.resolveSibling("." + file.getFileName() + ".resized");
        try {
            Files.deleteIfExists(partial);
            Files.createFile(
                    partial, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
            try (FileChannel channel = FileChannel.open(partial, StandardOpenOption.WRITE)) {
                ByteBuffer words = ByteBuffer.wrap(text);
                while (words.hasRemaining()) {
                    int _ = channel.write(words);
                }
                Files.setPosixFilePermissions(partial, Files.getPosixFilePermissions(file));
                channel.force(true);
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
            try (FileChannel directory = FileChannel.open(file.resolveSibling("."), StandardOpenOption.READ)) {
                directory.force(true);
            }
        } catch (IOException failed) {
            throw BlockError.of(ErrorKind.IO, file.toString(), "resize", String.valueOf(failed.getMessage()))
                    .toException();
        }
    }
}
