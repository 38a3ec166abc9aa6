package dev.ferry.image.qcow2;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BufferPool;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.ChannelDisk;
import dev.ferry.image.FileBytes;
import dev.ferry.image.LoopBytes;
import dev.ferry.testkit.OnLoop;
import dev.ferry.testkit.RandomLoad;
import dev.ferry.testkit.SimLoop;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** An image in a real file, opened as a device, for tests with other programs. */
final class OpenImage implements AutoCloseable {
    final SimLoop loop = new SimLoop(3);
    final BlockDevice device;

    /** The same, unchecked. */
    final Qcow2Device image;

    private OpenImage(Path path, @Nullable String snapshot, boolean readOnly, @Nullable BlockDevice backing)
            throws Exception {
        BlockDevice file = CheckedDevice.of(new ChannelDisk(path), "file");
        FileBytes bytes = new LoopBytes(loop, file);
        Qcow2Image opened = snapshot != null
                ? Qcow2Image.openSnapshot(bytes, snapshot)
                : readOnly ? Qcow2Image.openReadOnly(bytes) : Qcow2Image.openForWriting(bytes);
        BufferPool buffers = BufferPool.ofBytes(64 << 20);
        String data = opened.dataFileName();
        BlockDevice store = data == null ? file : CheckedDevice.of(new ChannelDisk(Path.of(data)), "data");
        image = new Qcow2Device(loop, file, store, opened, backing, buffers, loop, Qcow2Settings.DEFAULT);
        device = CheckedDevice.of(image, "image");
    }

    static OpenImage open(Path path) throws Exception {
        return new OpenImage(path, null, false, null);
    }

    static OpenImage open(Path path, BlockDevice backing) throws Exception {
        return new OpenImage(path, null, false, backing);
    }

    static OpenImage readOnly(Path path) throws Exception {
        return new OpenImage(path, null, true, null);
    }

    static OpenImage snapshot(Path path, String snapshot) throws Exception {
        return new OpenImage(path, snapshot, true, null);
    }

    static void create(Path path, long sizeBytes, Qcow2Options options) throws Exception {
        SimLoop loop = new SimLoop(4);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(path), "file");
        Qcow2Creator.create(new LoopBytes(loop, file), sizeBytes, options);
        assertThat(OnLoop.await(loop, file::close)).isNull();
    }

    static CheckReport check(Path path, Qcow2Checker.Repair repair) throws Exception {
        SimLoop loop = new SimLoop(4);
        BlockDevice file = CheckedDevice.of(new ChannelDisk(path), "file");
        CheckReport report = Qcow2Checker.check(new LoopBytes(loop, file), repair);
        assertThat(OnLoop.await(loop, file::close)).isNull();
        return report;
    }

    byte[] content() {
        int size = Math.toIntExact(device.geometry().sizeBytes());
        IoBuffer whole = IoBuffer.allocate(size);
        assertThat(OnLoop.await(loop, end -> device.read(0, whole, 0, size, end)))
                .isNull();
        byte[] bytes = new byte[size];
        whole.copyTo(0, bytes, 0, size);
        return bytes;
    }

    void write(long offset, byte[] bytes) {
        IoBuffer buffer = IoBuffer.allocate(bytes.length);
        buffer.copyFrom(bytes, 0, 0, bytes.length);
        assertThat(OnLoop.await(loop, end -> device.write(offset, buffer, 0, bytes.length, 0, end)))
                .isNull();
    }

    /** Random requests; {@code content} is what it reads as before and after. */
    void load(long seed, byte[] content, int requests) {
        new RandomLoad(loop, device, seed, content).run(requests);
    }

    @Override
    public void close() {
        assertThat(OnLoop.await(loop, device::close)).isNull();
    }
}
