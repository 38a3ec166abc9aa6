package dev.ferry.image.fuzz;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.BufferPool;
import dev.ferry.block.IoBuffer;
import dev.ferry.image.FileBytes;
import dev.ferry.image.qcow2.Qcow2Checker;
import dev.ferry.image.qcow2.Qcow2Creator;
import dev.ferry.image.qcow2.Qcow2Description;
import dev.ferry.image.qcow2.Qcow2Device;
import dev.ferry.image.qcow2.Qcow2Image;
import dev.ferry.image.qcow2.Qcow2Options;
import dev.ferry.image.qcow2.Qcow2Settings;
import dev.ferry.image.qcow2.Qcow2Snapshots;
import dev.ferry.image.qcow2.SnapshotImage;
import dev.ferry.image.qcow2.SnapshotTables;
import dev.ferry.testkit.MemoryDisk;
import java.util.List;

/** Files that say they are qcow2: opened to be read and to be written, described, checked and mended. */
public final class Qcow2Fuzz {
    private static final int CLUSTER_BITS = 9;
    private static final long DATA_BYTES_MAX = 64 << 20;
    /** With few clusters in reserve: to make and to give back thousands would take most of the time. */
    private static final Qcow2Settings SETTINGS = new Qcow2Settings(2 << 20, false, 1, 4096);

    private static final BufferPool BUFFERS = BufferPool.ofBytes(16 << 20);

    private static final IoBuffer PIECE = IoBuffer.allocate(64 << 10);

    private Qcow2Fuzz() {}

    /** Called by the fuzzer. */
    public static void fuzzerTestOneInput(byte[] data) {
        for (boolean readOnly : new boolean[] {true, false}) {
            HostileFile.use(data, (loop, file) -> {
                Qcow2Image image =
                        readOnly ? Qcow2Image.openReadOnly(file.bytes()) : Qcow2Image.openForWriting(file.bytes());
                BlockDevice own = file.device();
                BlockDevice store = image.dataFileName() == null ? own : MemoryDisk.growing(DATA_BYTES_MAX);
                return new Qcow2Device(loop, own, store, image, null, BUFFERS, loop, SETTINGS);
            });
        }
        HostileFile.look(data, file -> {
            Qcow2Description _ = Qcow2Description.of(file);
        });
        HostileFile.look(data, Qcow2Fuzz::takeSnapshots);
        HostileFile.look(data, file -> Qcow2Checker.check(file, Qcow2Checker.Repair.ALL));
    }

    /** As a disk does that moves with its snapshots. */
    private static void takeSnapshots(FileBytes file) throws BlockException {
        SnapshotTables tables = SnapshotTables.of(file);
        SnapshotImage image = SnapshotImage.of(file, tables, null);
        if (!tables.fit(file)) {
            throw new AssertionError("an image has other snapshots than itself");
        }
        for (long at = 0;
                at < Math.min(DATA_BYTES_MAX, image.lengthBytes());
                at = image.partEnd(at, image.lengthBytes())) {
            image.put(at, (int) Math.min(PIECE.capacity(), image.lengthBytes() - at), PIECE, 0);
        }
    }

    private static byte[] withSnapshots(Qcow2Options options) {
        return HostileFile.made(file -> {
            Qcow2Creator.create(file, 64 << 10, options.withMapped());
            for (int i = 1; i <= 3; i++) {
                Qcow2Snapshots.create(file, "s" + i, i, 0);
            }
            Qcow2Snapshots.delete(file, "s2");
        });
    }

    private static byte[] empty(Qcow2Options options, int sizeBytes) {
        return HostileFile.made(file -> Qcow2Creator.create(file, sizeBytes, options));
    }

    /** Images to begin with. */
    public static List<byte[]> corpus() throws BlockException {
        Qcow2Options small = Qcow2Options.DEFAULT.withClusterBits(CLUSTER_BITS);
        return List.of(
                empty(small, 1 << 20),
                empty(small.withVersion(2), 1 << 20),
                empty(small.withRefcountOrder(0), 1 << 20),
                empty(small.withZstd(), 1 << 20),
                empty(small.withMapped(), 16 << 10),
                empty(small.withData("data", true), 16 << 10),
                withSnapshots(small),
                withSnapshots(small.withVersion(2)),
                empty(small.withExtendedL2().withClusterBits(14), 1 << 20));
    }
}
