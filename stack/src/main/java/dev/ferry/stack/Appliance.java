package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.ovf.Manifest;
import dev.ferry.image.ovf.OvfDescriptor;
import dev.ferry.image.ovf.TarIndex;
import dev.ferry.image.sparse.DeltaChain;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vmdk.VmdkImage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/**
 * An appliance to import disks from: an archive (.ova), or a descriptor (.ovf) with its files beside it. Disks are read where
 * they are, and nothing is unpacked. Thread: the control plane; calls block.
 */
public final class Appliance {
    private final DiskLoop loop;
    private final FileOpener opener;
    private final DiskSpec spec;
    private final List<TarIndex.Entry> entries;
    private final String descriptorName;
    private final List<OvfDescriptor.Disk> disks;

    private Appliance(DiskLoop loop, FileOpener opener, DiskSpec spec) throws BlockException {
        this.loop = loop;
        this.opener = opener;
        this.spec = spec;
        this.entries = archive(spec.path()) ? Images.with(loop, spec, opener, TarIndex::of) : List.of();
        this.descriptorName = descriptorName();
        this.disks = with(descriptorName, OvfDescriptor::read);
    }

    /** True if a file is called as appliances are. */
    public static boolean isOne(Path path) {
        return archive(path) || endsWith(path, ".ovf");
    }

    private static boolean archive(Path path) {
        return endsWith(path, ".ova");
    }

    private static boolean endsWith(Path path, String end) {
        return String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT).endsWith(end);
    }

    /** Is told how much has been held to digests. */
    @FunctionalInterface
    public interface Verified {
        void sofar(long doneBytes, long totalBytes);
    }

    /** Reads what an appliance says of itself, and holds all that is of use to the digests that it has. */
    public static Appliance open(DiskLoop loop, Path path, FileOpener opener, Verified verified) throws BlockException {
        DiskSpec spec = new DiskSpec(path.toString(), path, Provisioning.THIN, true, false);
        Appliance appliance = new Appliance(loop, opener, spec);
        appliance.verify(verified);
        return appliance;
    }

    /** Its disks that are in files, in the order of its descriptor. */
    public List<OvfDescriptor.Disk> disks() {
        return disks;
    }

    /** Opens a disk to be read; whoever asked closes it. */
    public BlockDevice open(OvfDescriptor.Disk disk) throws BlockException {
        OpenFile first = file(disk.fileName());
        try {
            Neighbours neighbours = this::file;
            BlockDevice device = disk.format() == ImageFormat.VMDK
                    ? VmdkImage.open(first, loop.loop(), Images.WORKERS, neighbours)
                    : DeltaChain.open(first, loop.loop(), neighbours, VhdImage::open);
            return CheckedDevice.of(device, disk.fileName() + " of " + spec.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), first.device()::close);
            throw failed;
        }
    }

    private String descriptorName() throws BlockException {
        if (!archive(spec.path())) {
            return String.valueOf(spec.path().getFileName());
        }
        List<String> found = new ArrayList<>();
        for (TarIndex.Entry entry : entries) {
            if (entry.name().toLowerCase(Locale.ROOT).endsWith(".ovf")) {
                found.add(entry.name());
            }
        }
        if (found.size() != 1) {
            throw BlockError.of(
                            ErrorKind.INVALID,
                            spec.shownAs(),
                            "open",
                            "it has " + found.size() + " descriptors (.ovf), and an appliance has one")
                    .toException();
        }
        return found.getFirst();
    }

    private void verify(Verified verified) throws BlockException {
        String name = descriptorName.substring(0, descriptorName.length() - ".ovf".length()) + ".mf";
        if (!exists(name)) {
            return;
        }
        Manifest manifest = with(name, Manifest::read);
        List<String> names = new ArrayList<>(List.of(descriptorName));
        disks.forEach(disk -> names.add(disk.fileName()));
        long total = 0;
        for (String one : names) {
            total += with(one, FileBytes::lengthBytes);
        }
        long allBytes = total;
        long[] done = {0};
        for (String one : names) {
            boolean _ = with(one, bytes -> {
                manifest.verify(one, bytes, read -> {
                    done[0] += read;
                    verified.sofar(done[0], allBytes);
                });
                return true;
            });
        }
    }

    private TarIndex.@Nullable Entry entry(String name) {
        for (TarIndex.Entry entry : entries) {
            if (entry.name().equals(name)) {
                return entry;
            }
        }
        return null;
    }

    private boolean exists(String name) {
        return archive(spec.path())
                ? entry(name) != null
                : spec.path().resolveSibling(name).toFile().isFile();
    }

    private <T> T with(String name, Images.Work<T> work) throws BlockException {
        OpenFile file = file(name);
        try {
            return work.on(file.bytes());
        } finally {
            OnLoop.await(loop.loop(), file.device()::close);
        }
    }

    /** A file of the appliance. */
    private OpenFile file(String name) throws BlockException {
        if (!archive(spec.path())) {
            Path path = Images.beside(spec, name);
            return whole(new DiskSpec(name, path, Provisioning.THIN, true, false));
        }
        TarIndex.Entry entry = entry(name);
        if (entry == null) {
            throw BlockError.of(ErrorKind.NOT_FOUND, spec.shownAs(), "open", "there is no file " + name + " in it")
                    .toException();
        }
        BlockDevice part = new FlatExtent(name, whole(spec).device(), entry.offset(), entry.sizeBytes());
        BlockDevice checked = CheckedDevice.of(part, name + " in " + spec.shownAs());
        FileBytes bytes = new DeviceBytes(loop.loop(), checked, name + " in " + spec.shownAs());
        return new OpenFile(bytes, checked);
    }

    private OpenFile whole(DiskSpec file) throws BlockException {
        return Images.bytes(loop, file, CheckedDevice.of(opener.open(loop, file), file.shownAs()));
    }
}
