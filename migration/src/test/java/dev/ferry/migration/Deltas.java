package dev.ferry.migration;

import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.vhd.VhdKind;
import dev.ferry.image.vhdx.VhdxKind;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkText;
import dev.ferry.stack.DataFiles;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.NewImages;
import dev.ferry.stack.Parents;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Chains of two files and a disk over them, in datastore slow of a world, in every way that there is. */
enum Deltas {
    VMDK(ImageFormat.VMDK, "base.vmdk", "mid.vmdk"),
    VMDK_SPLIT(ImageFormat.VMDK, "base.vmdk", "base-s001.vmdk", "mid.vmdk", "mid-s001.vmdk"),
    VMDK_FLAT(ImageFormat.VMDK, "base.vmdk", "base-flat.vmdk", "mid.vmdk"),
    VHD(ImageFormat.VHD, "base.vhd", "mid.vhd"),
    VHDX(ImageFormat.VHDX, "base.vhdx", "mid.vhdx"),
    QCOW2_OVER_VMDK(ImageFormat.QCOW2, "base.vmdk", "base-f001.vmdk", "mid.vmdk"),
    QCOW2_OVER_VHD(ImageFormat.QCOW2, "base.vhd", "mid.vhd"),
    QCOW2_OVER_VHDX(ImageFormat.QCOW2, "base.vhdx", "mid.vhdx"),
    QCOW2_DATA_FILE(ImageFormat.QCOW2, "base.qcow2", "base.data", "mid.qcow2", "mid.data");

    private static final FileOpener FILES = (loop, spec) -> FileDevice.open(
            loop.events(),
            spec.path(),
            spec.shownAs(),
            new FileOptions(spec.readOnly(), false, spec.format().grows()));

    final ImageFormat format;
    private final String names;

    Deltas(ImageFormat format, String... files) {
        this.format = format;
        this.names = String.join(" ", files);
    }

    /** All files below the disk. */
    List<String> files() {
        return List.of(names.split(" "));
    }

    String disk(String name) {
        return name + "." + format.text();
    }

    /** Files of a disk over them; at the target it has but one. */
    List<String> filesOf(String name) {
        return this == VMDK_SPLIT ? List.of(name + ".vmdk", name + "-s001.vmdk") : List.of(disk(name));
    }

    /** QEMU reads such chains. */
    boolean ofQemu() {
        return switch (this) {
            case VMDK, VMDK_SPLIT, VMDK_FLAT, QCOW2_OVER_VMDK, QCOW2_DATA_FILE -> true;
            case VHD, VHDX, QCOW2_OVER_VHD, QCOW2_OVER_VHDX -> false;
        };
    }

    /** @return what a disk over it reads like */
    byte[] below(World world, long seed) throws IOException {
        byte[] content = new byte[Layers.SIZE];
        Making making = new Making(world, content);
        switch (this) {
            case VMDK -> {
                making.vmdk("base", VmdkKind.MONOLITHIC_SPARSE, null, seed);
                making.vmdk("mid", VmdkKind.MONOLITHIC_SPARSE, "base.vmdk", seed + 1);
            }
            case VMDK_SPLIT -> {
                making.vmdk("base", VmdkKind.TWO_GB_SPARSE, null, seed);
                making.vmdk("mid", VmdkKind.TWO_GB_SPARSE, "base.vmdk", seed + 1);
            }
            case VMDK_FLAT -> {
                making.vmdk("base", VmdkKind.MONOLITHIC_FLAT, null, seed);
                making.vmdk("mid", VmdkKind.MONOLITHIC_SPARSE, "base.vmdk", seed + 1);
            }
            case QCOW2_OVER_VMDK -> {
                making.vmdk("base", VmdkKind.TWO_GB_FLAT, null, seed);
                making.vmdk("mid", VmdkKind.MONOLITHIC_SPARSE, "base.vmdk", seed + 1);
            }
            case VHD, QCOW2_OVER_VHD -> making.pair(ImageFormat.VHD, seed);
            case VHDX, QCOW2_OVER_VHDX -> making.pair(ImageFormat.VHDX, seed);
            case QCOW2_DATA_FILE -> {
                making.dataFile("base", null, seed);
                making.dataFile("mid", "base.qcow2", seed + 1);
            }
        }
        return content;
    }

    /** A disk over the upper one of them. */
    byte[] over(World world, String name, byte[] below, long seed) throws IOException {
        byte[] content = below.clone();
        Making making = new Making(world, content);
        String upper = files().stream()
                .filter(file -> file.startsWith("mid.") && !file.endsWith(".data"))
                .findFirst()
                .orElseThrow();
        if (format == ImageFormat.QCOW2) {
            ImageFormat its =
                    ImageFormat.of(upper.substring(upper.indexOf('.') + 1)).orElseThrow();
            new Layers(world).overlay(disk(name), upper, its, content, seed);
        } else if (this == VMDK_SPLIT) {
            making.vmdk(name, VmdkKind.TWO_GB_SPARSE, upper, seed);
        } else {
            DiskSpec spec = making.file(disk(name), format);
            making.delta(spec, upper);
            making.layers.change(spec, content, seed);
        }
        Path file = making.layers.file(disk(name));
        world.know(new DiskSpec(name, file, Provisioning.THIN, false, false, format, Layers.SIZE));
        return content;
    }

    /** A disk in two files that lies over nothing. */
    static byte[] inTwo(World world, String name, ImageFormat format, long seed) throws IOException {
        byte[] content = new byte[Layers.SIZE];
        Making making = new Making(world, content);
        if (format == ImageFormat.VMDK) {
            making.vmdk(name, VmdkKind.MONOLITHIC_FLAT, null, seed);
        } else {
            making.dataFile(name, null, seed);
        }
        Path file = making.layers.file(name + "." + format.text());
        world.know(new DiskSpec(name, file, Provisioning.THIN, false, false, format, Layers.SIZE));
        return content;
    }

    /** Files in the making. */
    private static final class Making {
        final Layers layers;
        private final World world;
        private final byte[] content;

        Making(World world, byte[] content) {
            this.world = world;
            this.content = content;
            this.layers = new Layers(world);
        }

        DiskSpec file(String name, ImageFormat format) throws IOException {
            Path path = Files.createFile(layers.file(name));
            return new DiskSpec(name, path, Provisioning.THIN, false, false, format);
        }

        private DiskLoop loop(DiskSpec spec) throws IOException {
            DiskSide any = world.stacks.openAlone(spec.in(ImageFormat.RAW).asReadOnly());
            any.close();
            return any.loop();
        }

        void delta(DiskSpec spec, String below) throws IOException {
            DiskLoop loop = loop(spec);
            Parents.delta(loop, spec, FILES, Parents.parent(loop, spec, FILES, below));
        }

        void pair(ImageFormat format, long seed) throws IOException {
            DiskSpec base = file("base." + format.text(), format);
            if (format == ImageFormat.VHD) {
                NewImages.vhd(loop(base), base, FILES, Layers.SIZE, VhdKind.DYNAMIC);
            } else {
                NewImages.vhdx(loop(base), base, FILES, Layers.SIZE, VhdxKind.DYNAMIC);
            }
            layers.change(base, content, seed);
            DiskSpec mid = file("mid." + format.text(), format);
            delta(mid, "base." + format.text());
            layers.change(mid, content, seed + 1);
        }

        void vmdk(String name, VmdkKind kind, @Nullable String below, long seed) throws IOException {
            DiskSpec spec = file(name + ".vmdk", ImageFormat.VMDK);
            DiskLoop loop = loop(spec);
            VmdkText text = below == null
                    ? NewImages.text(loop, spec, kind, Layers.SIZE)
                    : Parents.vmdk(loop, spec, FILES, kind, Parents.parent(loop, spec, FILES, below));
            if (kind.apart()) {
                for (VmdkText.Part part : text.parts()) {
                    Files.createFile(layers.file(part.name()));
                }
            }
            NewImages.vmdk(loop, spec, FILES, text, part -> spec.path().resolveSibling(part));
            layers.change(spec, content, seed);
        }

        void dataFile(String name, @Nullable String below, long seed) throws IOException {
            DiskSpec spec = file(name + ".qcow2", ImageFormat.QCOW2);
            Path data = Files.createFile(layers.file(name + ".data"));
            Qcow2Options options = Qcow2Options.DEFAULT.withData(name + ".data", false);
            options = below == null ? options : options.withBacking(below, "qcow2");
            DataFiles.format(loop(spec), spec, FILES, data, Layers.SIZE, options);
            layers.change(spec, content, seed);
        }
    }
}
