package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.FileOpener;
import dev.ferry.stack.Images;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.OpenDisk;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;

/** Disks over other files, in datastore slow of a world. */
final class Layers {
    static final int SIZE = 4 * World.MIB;
    /** Shorter than the disks over it, and no multiple of anything. */
    static final int BASE_BYTES = 2 * World.MIB + 1000;

    private static final int CLUSTER_BYTES = 64 << 10;
    private static final FileOpener FILES = (loop, spec) -> FileDevice.open(
            loop.events(),
            spec.path(),
            spec.shownAs(),
            new FileOptions(spec.readOnly(), false, spec.format().grows()));

    private final World world;
    private int pieces = 4;
    /** Of overlays that are made from now on. */
    Qcow2Options options = Qcow2Options.DEFAULT;

    Layers(World world) {
        this.world = world;
    }

    Path file(String name) throws BlockException {
        return world.datastore("slow").directory().resolve(name);
    }

    /** @return what a disk over it reads like */
    byte[] raw(String name, long seed) throws IOException {
        byte[] content = new byte[SIZE];
        byte[] some = new byte[World.MIB];
        new Random(seed).nextBytes(some);
        try (RandomAccessFile file = new RandomAccessFile(file(name).toFile(), "rw")) {
            file.write(some);
            file.seek(BASE_BYTES - 5000);
            file.write(some, 0, 5000);
        }
        System.arraycopy(some, 0, content, 0, some.length);
        System.arraycopy(some, 0, content, BASE_BYTES - 5000, 5000);
        return content;
    }

    /** Lies over a file, with bytes of its own, zeroes of its own, and nothing in most places. */
    void overlay(String name, String below, ImageFormat format, byte[] content, long seed) throws IOException {
        Path path = Files.createFile(file(name));
        DiskSpec spec = new DiskSpec(name, path, Provisioning.THIN, false, false, ImageFormat.QCOW2);
        DiskSide any = world.stacks.openAlone(spec.in(ImageFormat.RAW).asReadOnly());
        Images.format(any.loop(), spec, FILES, SIZE, options.withBacking(below, format.qemuText()));
        any.close();
        change(spec, content, seed);
    }

    /** Gives a new file bytes of its own and zeroes of its own. */
    void change(DiskSpec spec, byte[] content, long seed) throws IOException {
        DiskSide side = world.stacks.openAlone(spec);
        Random random = new Random(seed);
        for (int i = 0; i < pieces; i++) {
            byte[] bytes = new byte[4096 * (1 + random.nextInt(30))];
            random.nextBytes(bytes);
            int at = 4096 * random.nextInt((SIZE - bytes.length) / 4096);
            IoBuffer buffer = IoBuffer.allocate(bytes.length);
            buffer.copyFrom(bytes, 0, 0, bytes.length);
            OnLoop.await(side.loop().loop(), done -> side.device().write(at, buffer, 0, bytes.length, 0, done));
            System.arraycopy(bytes, 0, content, at, bytes.length);
            int from = CLUSTER_BYTES * random.nextInt(SIZE / CLUSTER_BYTES - 2);
            OnLoop.await(side.loop().loop(), done -> side.device().writeZeroes(from, 2 * CLUSTER_BYTES, 0, done));
            Arrays.fill(content, from, from + 2 * CLUSTER_BYTES, (byte) 0);
        }
        side.flush();
        side.close();
    }

    /** A disk that has nothing of its own. */
    void bare(String name, String over) throws IOException {
        int before = pieces;
        pieces = 0;
        byte[] nothing = {};
        byte[] _ = disk(name, nothing, over, 0);
        pieces = before;
    }

    /** A disk over one file or more, from the lowest on; those that are there already are used. */
    byte[] disk(String name, byte[] below, String over, long seed) throws IOException {
        byte[] content = below.clone();
        ImageFormat format = over.endsWith(".raw") ? ImageFormat.RAW : ImageFormat.QCOW2;
        overlay(name + ".qcow2", over, format, content, seed);
        world.know(new DiskSpec(name, file(name + ".qcow2"), Provisioning.THIN, false, false, ImageFormat.QCOW2, SIZE));
        return content;
    }

    /** Writes so much that a copy of it takes its time. */
    void fill(OpenDisk disk, byte[] content, int from, int length) throws IOException {
        byte[] bytes = new byte[length];
        new Random(length).nextBytes(bytes);
        IoBuffer buffer = IoBuffer.allocate(length);
        buffer.copyFrom(bytes, 0, 0, length);
        OnLoop.await(disk.loop().loop(), done -> disk.front().write(from, buffer, 0, length, 0, done));
        System.arraycopy(bytes, 0, content, from, length);
        disk.flush();
    }

    /** The bytes of a disk that is open, as a file. */
    Path plain(OpenDisk disk) throws IOException {
        IoBuffer buffer = IoBuffer.allocate(SIZE);
        OnLoop.await(disk.loop().loop(), done -> disk.front().read(0, buffer, 0, SIZE, done));
        byte[] bytes = new byte[SIZE];
        buffer.copyTo(0, bytes, 0, SIZE);
        return Files.write(world.directory.resolve(disk.name() + ".plain"), bytes);
    }

    /** What the files of a chain have of their own each, from the top. */
    List<String> maps(String disk) throws BlockException {
        return world.stacks.chain(world.disk(disk).spec()).layers().stream()
                .map(this::map)
                .toList();
    }

    private String map(Chain.Layer layer) {
        StringBuilder map = new StringBuilder(layer.spec().format().text());
        long[] known = {0};
        ExtentSink sink = (offset, length, state) -> {
            map.append(' ')
                    .append(offset)
                    .append('+')
                    .append(length)
                    .append('=')
                    .append(state);
            known[0] = offset + length;
        };
        try {
            DiskSide side = world.stacks.openAlone(layer.spec());
            while (known[0] < side.sizeBytes()) {
                OnLoop.await(
                        side.loop().loop(),
                        done -> side.device().ownExtents(known[0], side.sizeBytes() - known[0], sink, done));
            }
            side.close();
        } catch (BlockException e) {
            throw new AssertionError(e);
        }
        return map.toString();
    }

    /** The names of the files of a chain, from the top. */
    List<String> names(String disk) throws BlockException {
        return world.stacks.chain(world.disk(disk).spec()).layers().stream()
                .map(layer -> {
                    Path folder = Objects.requireNonNull(layer.path().getParent());
                    return folder.getFileName() + "/" + layer.path().getFileName();
                })
                .toList();
    }
}
