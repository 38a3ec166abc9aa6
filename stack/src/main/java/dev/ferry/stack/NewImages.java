package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.datastore.DiskFiles;
import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhd.VhdKind;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vhdx.VhdxKind;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.image.vmdk.VmdkWriter;
import dev.ferry.image.vmdk.WritableVmdk;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.UUID;
import java.util.function.Function;

/**
 * Makes disks in the formats of other hypervisors, all zeroes, in files that are there and hold nothing of worth. What has to
 * tell a disk from all others is made of the file that it is in, and the instant. Thread: the control plane; calls block.
 */
public final class NewImages {
    private static final int SECTOR_BYTES = 512;

    private NewImages() {}

    /** A disk in one sparse file. */
    static void vmdk(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes) throws BlockException {
        vmdk(loop, spec, opener, text(loop, spec, VmdkKind.MONOLITHIC_SPARSE, sizeBytes), name -> spec.path());
    }

    /** What a new disk is to say of itself, in a file that is there already. */
    public static VmdkText text(DiskLoop loop, DiskSpec spec, VmdkKind kind, long sizeBytes) throws BlockException {
        String name = String.valueOf(DiskFiles.shownOf(spec.path()).getFileName());
        if (!VmdkText.isName(name)) {
            throw invalid(spec, "a vmdk descriptor cannot name a file of that name");
        }
        if (sizeBytes <= 0 || sizeBytes % SECTOR_BYTES != 0) {
            throw invalid(spec, "a vmdk disk has a multiple of 512 bytes");
        }
        return new VmdkText(kind, kind.parts(name, sizeBytes), number(loop, spec));
    }

    /**
     * A disk of any kind.
     *
     * @param where the file of a part is to lie, which is there already
     */
    public static void vmdk(
            DiskLoop loop, DiskSpec spec, FileOpener opener, VmdkText text, Function<String, Path> where)
            throws BlockException {
        if (!text.kind().apart()) {
            ImageChanges.change(loop, spec, opener, bytes -> new VmdkWriter(bytes, text).finishEmpty());
            return;
        }
        for (VmdkText.Part part : text.parts()) {
            DiskSpec file = spec.at(where.apply(part.name()), spec.provisioning());
            ImageChanges.change(loop, file, opener, bytes -> {
                if (text.kind().flat()) {
                    bytes.resize(part.sizeBytes());
                    bytes.flush();
                } else {
                    VmdkWriter.ofExtent(bytes, part.sizeBytes()).finishEmpty();
                }
            });
        }
        byte[] words = text.write().getBytes(StandardCharsets.UTF_8);
        ImageChanges.change(loop, spec, opener, bytes -> {
            bytes.resize(0);
            bytes.write(0, words);
            bytes.flush();
        });
    }

    /** Opens one that was just made, to be filled, while its files have not their names yet. */
    public static BlockDevice openVmdk(DiskLoop loop, DiskSpec spec, FileOpener opener, Function<String, Path> where)
            throws BlockException {
        BlockDevice file = CheckedDevice.of(opener.open(loop, spec), spec.shownAs());
        try {
            BlockDevice disk = WritableVmdk.open(
                    Images.bytes(loop, spec, file),
                    loop.loop(),
                    Images.WORKERS,
                    Images.neighbours(loop, spec, opener, where::apply),
                    number(loop, spec));
            return CheckedDevice.of(disk, spec.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }

    private static BlockException invalid(DiskSpec spec, String why) {
        return BlockError.of(ErrorKind.INVALID, spec.shownAs(), "create", why).toException();
    }

    /** A disk with all of its room, or one that grows. */
    public static void vhd(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes, VhdKind kind)
            throws BlockException {
        Instant made = changed(spec);
        UUID identity = identity(loop, spec);
        ImageChanges.change(loop, spec, opener, bytes -> VhdCreator.create(bytes, sizeBytes, kind, made, identity));
    }

    /** A disk with all of its room, or one that grows. */
    public static void vhdx(DiskLoop loop, DiskSpec spec, FileOpener opener, long sizeBytes, VhdxKind kind)
            throws BlockException {
        UUID identity = identity(loop, spec);
        ImageChanges.change(loop, spec, opener, bytes -> VhdxCreator.create(bytes, sizeBytes, kind, identity));
    }

    /** When a file was last written to. */
    static Instant changed(DiskSpec spec) throws BlockException {
        try {
            return Files.getLastModifiedTime(spec.path()).toInstant();
        } catch (IOException gone) {
            throw BlockError.of(ErrorKind.IO, spec.shownAs(), "create", String.valueOf(gone.getMessage()))
                    .toException();
        }
    }

    /** A number that this disk has not had before, in all likelihood. */
    static int number(DiskLoop loop, DiskSpec spec) throws BlockException {
        return identity(loop, spec).hashCode();
    }

    static UUID identity(DiskLoop loop, DiskSpec spec) throws BlockException {
        String all = DiskFiles.identityOf(spec.path()) + " " + spec.path() + " "
                + loop.loop().nanoTime();
        return UUID.nameUUIDFromBytes(all.getBytes(StandardCharsets.UTF_8));
    }
}
