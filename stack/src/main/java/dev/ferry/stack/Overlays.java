package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.Loop;
import dev.ferry.filter.Aligner;
import dev.ferry.filter.Gate;
import dev.ferry.filter.Slice;
import dev.ferry.filter.snapshot.Layers;
import dev.ferry.filter.tracking.DirtyBitmap;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Options;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Overlays over the file of a disk: what a guest writes goes to the one on top, and what is below stands still. They are
 * qcow2 files beside the disk's own, hidden, numbered from the bottom. Where the disk is no whole number of sectors they are a
 * little larger, and nobody sees the rest.
 *
 * <pre>
 *   vm.raw   .vm.raw.overlay-1   .vm.raw.overlay-2   …
 * </pre>
 *
 * <p><b>After a crash</b> the files say all: number 1 and those that follow it without a gap, on top of the disk's file, are
 * the disk. An overlay gets its name when it is whole and durable, and empty, so that it makes no difference whether the
 * crash came before the guest was sent to it. When all has been merged into the disk's file, durably, number 1 is deleted
 * first; what is left then follows upon nothing, and is no part of the disk.
 *
 * <p>Thread: one of the control plane at a time; calls block.
 */
public final class Overlays {
    private static final String SUFFIX = ".overlay-";
    private static final int NUMBER_MAX = 64;

    private record Layer(Path path, BlockDevice image) {}

    private final OpenDisk disk;
    private final DiskSpec base;
    private final Layers layers;
    private final List<Layer> open = new ArrayList<>();

    /** @param layers below the gate of the disk, on its loop */
    public Overlays(OpenDisk disk, Layers layers) {
        this.disk = disk;
        this.base = disk.side().spec();
        this.layers = layers;
    }

    // ---- as files

    private static Path fileOf(Path base, int number) {
        return base.resolveSibling("." + base.getFileName() + SUFFIX + number);
    }

    private static Path partialOf(Path file) {
        return file.resolveSibling(file.getFileName() + ".partial");
    }

    /** Those that are part of a disk, from the bottom. */
    public static List<Path> of(Path base) {
        List<Path> found = new ArrayList<>();
        for (int number = 1; number <= NUMBER_MAX; number++) {
            Path file = fileOf(base, number);
            if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
                break;
            }
            found.add(file);
        }
        return found;
    }

    /** Takes all of them away, once nothing in them is needed any more: number 1 first, durably. What was in the making goes too. */
    public static void delete(Path base) throws BlockException {
        try {
            if (Files.deleteIfExists(fileOf(base, 1))) {
                sync(base);
            }
            for (int number = 1; number <= NUMBER_MAX; number++) {
                Files.deleteIfExists(fileOf(base, number));
                Files.deleteIfExists(partialOf(fileOf(base, number)));
            }
        } catch (IOException e) {
            throw failure(base, "delete the overlays of", e);
        }
    }

    private static void sync(Path base) throws IOException {
        try (FileChannel directory = FileChannel.open(base.resolveSibling("."), StandardOpenOption.READ)) {
            directory.force(true);
        }
    }

    private static BlockException failure(Path file, String what, IOException e) {
        String text = String.valueOf(e.getMessage());
        ErrorKind kind = text.contains("No space left") ? ErrorKind.NO_SPACE : ErrorKind.IO;
        return BlockError.of(kind, file.toString(), what, text).toException();
    }

    // ---- on top of a disk that is open

    /** How many there are on top. */
    public int count() {
        return open.size();
    }

    /** Makes an overlay and sends the guest to it; what it was at until now stands still from then on. */
    public void freeze(Runnable whenFrozen) throws BlockException {
        Path file = fileOf(base.path(), open.size() + 1);
        make(file, open.isEmpty() ? base.path() : open.getLast().path());
        Layer layer = open(file);
        OnLoop.await(disk.loop().loop(), layers::flush);
        atRest(() -> {
            layers.push(layer.image());
            whenFrozen.run();
        });
        open.add(layer);
    }

    private void make(Path file, Path below) throws BlockException {
        Path partial = partialOf(file);
        try {
            Files.deleteIfExists(partial);
            Files.createFile(partial);
            Qcow2Options options = Qcow2Options.DEFAULT.withBacking(
                    below.getFileName().toString(),
                    open.isEmpty() ? base.format().qemuText() : ImageFormat.QCOW2.text());
            long sizeBytes = ImageFormat.QCOW2.paddedBytes(disk.sizeBytes());
            Images.format(disk.loop(), specOf(partial), disk.opener(), sizeBytes, options);
            try (FileChannel channel = FileChannel.open(partial, StandardOpenOption.READ)) {
                channel.force(true);
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
            sync(file);
        } catch (IOException e) {
            throw e instanceof BlockException block ? block : failure(file, "make", e);
        }
    }

    private DiskSpec specOf(Path file) {
        return new DiskSpec(base.name(), file, Provisioning.THIN, false, false, ImageFormat.QCOW2);
    }

    /** An overlay owns the one below it, and closes that with itself; the disk's own file belongs to the disk. */
    private Layer open(Path path) throws BlockException {
        BlockDevice below =
                open.isEmpty() ? new Borrowed(layers.base()) : open.getLast().image();
        return new Layer(path, Overlays.open(disk, specOf(path), below));
    }

    private static BlockDevice open(OpenDisk disk, DiskSpec spec, BlockDevice below) throws BlockException {
        BlockDevice file = CheckedDevice.of(DiskSide.openFile(disk.loop(), spec, disk.opener()), spec.shownAs());
        try {
            BlockDevice image = CheckedDevice.of(
                    Images.overlay(disk.loop(), spec, file, below, disk.opener()), "overlay " + spec.shownAs());
            BlockDevice bytes = image.geometry().blockSizeBytes() == 1
                    ? image
                    : new Aligner(image, disk.loop().buffers());
            long sizeBytes = disk.sizeBytes();
            return sizeBytes < bytes.geometry().sizeBytes() ? new Slice(bytes, 0, sizeBytes) : bytes;
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(disk.loop().loop(), file::close);
            throw failed;
        }
    }

    /** After a crash, before anybody uses the disk: puts on top what is part of it, and tells what is in them. */
    public void found(List<Path> files, DirtyBitmap content) throws BlockException {
        for (Path file : files) {
            BlockDevice alone = open(disk, specOf(file), new Below(layers.geometry()));
            try {
                note(alone, content);
            } finally {
                OnLoop.await(disk.loop().loop(), alone::close);
            }
            Layer layer = open(file);
            open.add(layer);
            OnLoop.run(disk.loop().loop(), () -> layers.replace(layer.image()));
        }
    }

    private void note(BlockDevice overlay, DirtyBitmap content) throws BlockException {
        long[] position = {0};
        ExtentSink sink = (offset, length, state) -> {
            if (state != ExtentSink.HOLE) {
                content.set(offset, length);
            }
            position[0] = offset + length;
        };
        long size = overlay.geometry().sizeBytes();
        while (position[0] < size) {
            OnLoop.await(
                    disk.loop().loop(),
                    done -> overlay.extents(position[0], Math.min(1L << 30, size - position[0]), sink, done));
        }
    }

    /** Sends the guest to another device, on top of or in place of the layers, at an instant when it has nothing in flight. */
    public void atRest(Runnable change) throws BlockException {
        Gate gate = disk.gate();
        CompletableFuture<Boolean> done = new CompletableFuture<>();
        Loop loop = disk.loop().loop();
        OnLoop.run(
                loop,
                () -> gate.quiesce(() -> {
                    change.run();
                    gate.resume();
                    done.complete(true);
                }));
        OnLoop.join(done);
    }

    /** The overlays are no part of the disk any more: closes them and deletes their files. */
    public void drop() throws BlockException {
        if (!open.isEmpty()) {
            BlockDevice top = open.getLast().image();
            OnLoop.await(disk.loop().loop(), top::close);
        }
        open.clear();
        delete(base.path());
    }
}
