package dev.ferry.image;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.sparse.DeltaChain;
import dev.ferry.image.sparse.DeltaFile;
import dev.ferry.image.sparse.OpenFile;
import dev.ferry.image.vhd.VhdImage;
import dev.ferry.image.vhdx.VhdxImage;
import dev.ferry.image.vmdk.VmdkImage;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.SimLoop;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;

/** A disk of another hypervisor's format, opened from its first file; all others are opened beside it. */
final class ForeignDisk {
    /** Odd, so that grains are read in part. */
    private static final int PIECE_BYTES = 300_123;

    private final SimLoop loop;
    final BlockDevice device;

    private ForeignDisk(SimLoop loop, BlockDevice device) {
        this.loop = loop;
        this.device = device;
    }

    static ForeignDisk vmdk(SimLoop loop, Path path) throws BlockException {
        OpenFile first = file(loop, path);
        return new ForeignDisk(
                loop,
                CheckedDevice.of(
                        VmdkImage.open(first, loop, loop, name -> file(loop, path.resolveSibling(name))), "vmdk"));
    }

    static ForeignDisk vhd(SimLoop loop, Path path) throws BlockException {
        return chain(loop, path, VhdImage::open);
    }

    static ForeignDisk vhdx(SimLoop loop, Path path) throws BlockException {
        return chain(loop, path, VhdxImage::open);
    }

    private static <F extends DeltaFile> ForeignDisk chain(SimLoop loop, Path path, DeltaChain.Format<F> format)
            throws BlockException {
        OpenFile first = file(loop, path);
        return new ForeignDisk(
                loop,
                CheckedDevice.of(
                        DeltaChain.open(first, loop, name -> file(loop, path.resolveSibling(name)), format), "disk"));
    }

    /** @param format as QEMU calls it */
    static ForeignDisk of(String format, SimLoop loop, Path path) throws BlockException {
        return switch (format) {
            case "vmdk" -> vmdk(loop, path);
            case "vpc" -> vhd(loop, path);
            default -> vhdx(loop, path);
        };
    }

    static OpenFile file(SimLoop loop, Path path) throws BlockException {
        if (!path.toFile().exists()) {
            throw BlockError.of(ErrorKind.NOT_FOUND, path.toString(), "open", "it is not there")
                    .toException();
        }
        try {
            BlockDevice device = CheckedDevice.of(new ChannelDisk(path), "file");
            return new OpenFile(new LoopBytes(loop, device), device);
        } catch (IOException failed) {
            throw BlockError.of(ErrorKind.IO, path.toString(), "open", String.valueOf(failed.getMessage()))
                    .toException();
        }
    }

    byte[] content() {
        int size = Math.toIntExact(device.geometry().sizeBytes());
        IoBuffer whole = IoBuffer.allocate(size);
        for (int at = 0; at < size; at += PIECE_BYTES) {
            int from = at;
            int length = Math.min(PIECE_BYTES, size - at);
            assertThat(OnLoop.await(loop, end -> device.read(from, whole, from, length, end)))
                    .isNull();
        }
        byte[] bytes = new byte[size];
        whole.copyTo(0, bytes, 0, size);
        return bytes;
    }

    /** Asks for all extents, holds the zeroes among them to the content, and gives how many bytes those are. */
    long zeroes(byte[] content) {
        long[] at = {0, 0};
        while (at[0] < content.length) {
            long from = at[0];
            assertThat(OnLoop.await(
                            loop,
                            end -> device.extents(
                                    from,
                                    content.length - from,
                                    (offset, length, state) -> {
                                        assertThat(offset).isEqualTo(at[0]);
                                        at[0] += length;
                                        if ((state & ExtentSink.ZERO) != 0) {
                                            at[1] += length;
                                            byte[] part = Arrays.copyOfRange(content, (int) offset, (int) at[0]);
                                            assertThat(part).isEqualTo(new byte[part.length]);
                                        }
                                    },
                                    end)))
                    .isNull();
        }
        return at[1];
    }

    void close() {
        assertThat(OnLoop.await(loop, device::close)).isNull();
    }

    /** Opens, reads and closes what may be damaged: a clear error, or none. */
    static void use(String format, SimLoop loop, Path image) {
        try {
            ForeignDisk disk = of(format, loop, image);
            long size = disk.device.geometry().sizeBytes();
            IoBuffer buffer = IoBuffer.allocate(1 << 20);
            for (long at = 0; at < Math.min(size, 16 << 20); at += 1 << 20) {
                long from = at;
                int length = (int) Math.min(1 << 20, size - at);
                BlockError error = OnLoop.await(loop, end -> disk.device.read(from, buffer, 0, length, end));
                assertThat(error == null || !error.detail().isBlank()).isTrue();
                BlockError unknown =
                        OnLoop.await(loop, end -> disk.device.extents(from, length, (offset, bytes, state) -> {}, end));
                assertThat(unknown == null || !unknown.detail().isBlank()).isTrue();
            }
            disk.close();
        } catch (BlockException clear) {
            assertThat(clear.error().detail()).isNotBlank();
        }
    }
}
