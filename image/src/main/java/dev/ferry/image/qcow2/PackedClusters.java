package dev.ferry.image.qcow2;

import static dev.ferry.image.qcow2.Qcow2Layout.packedBytesMax;
import static dev.ferry.image.qcow2.Qcow2Layout.packedOffset;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.Completion;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import java.util.Objects;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Compressed clusters, read and inflated, the last few kept. Inflating goes on on other threads; a cluster that inflates
 * to anything but exactly a cluster is corrupt, whatever follows it in its sectors is not looked at.
 *
 * <p>Thread: the disk's loop, except where said.
 */
final class PackedClusters {
    private static final long KEPT_BYTES = 1 << 20;
    private static final int KEPT_MAX = 8;

    private final BlockDevice file;
    private final Loop loop;
    private final Executor workers;
    private final String name;
    private final int clusterBits;
    private final boolean zstd;
    private final @Nullable Cluster[] kept;
    private int turn;
    private long clock;

    PackedClusters(BlockDevice file, Loop loop, Executor workers, Qcow2Image image) {
        this.file = file;
        this.loop = loop;
        this.workers = workers;
        this.name = image.name;
        this.clusterBits = image.header.clusterBits();
        this.kept = new Cluster[Math.clamp(KEPT_BYTES >> clusterBits, 2, KEPT_MAX)];
        this.zstd = image.header.compressionType() == 1;
    }

    /**
     * The content of the cluster that an entry describes, for use before control returns to the loop.
     *
     * @return null if it has to be waited for
     */
    @Nullable
    IoBuffer content(long entry, Waiter waiter) {
        Cluster oldest = null;
        for (int i = 0; i < kept.length; i++) {
            Cluster one = kept[i];
            if (one == null) {
                one = new Cluster();
                kept[i] = one;
            }
            if (one.entry == entry) {
                if (one.loading) {
                    one.waiting.add(waiter);
                    return null;
                }
                one.usedAt = ++clock;
                return one.content;
            }
            if (!one.loading && (oldest == null || one.usedAt < oldest.usedAt)) {
                oldest = one;
            }
        }
        if (oldest == null) {
            turn = (turn + 1) % kept.length;
            Objects.requireNonNull(kept[turn]).waiting.add(waiter);
            return null;
        }
        oldest.waiting.add(waiter);
        oldest.load(entry);
        return null;
    }

    private final class Cluster implements Completion {
        private final Waiter.List waiting = new Waiter.List();
        private final IoBuffer content = IoBuffer.allocate(1 << clusterBits);
        private final IoBuffer packed = IoBuffer.allocate((2 << clusterBits) + Qcow2Layout.SECTOR_BYTES);
        private int packedBytes;
        private long entry;
        private long usedAt;
        private boolean loading;

        void load(long wanted) {
            entry = wanted;
            loading = true;
            usedAt = ++clock;
            long offset = packedOffset(wanted, clusterBits);
            long inFile = file.lengthBytes() - offset;
            if (inFile <= 0) {
                ended(error("it lies past the end of the file"));
                return;
            }
            packedBytes = (int) Math.min(Math.min(packedBytesMax(wanted, clusterBits), packed.capacity()), inFile);
            file.read(offset, packed, 0, packedBytes, this);
        }

        @Override
        public void complete(@Nullable BlockError error) {
            if (error != null) {
                ended(error);
                return;
            }
            workers.execute(() -> {
                boolean sound = Compression.unpack(zstd, packed, packedBytes, content);
                loop.execute(() -> ended(sound ? null : error("its data does not unpack to a cluster")));
            });
        }

        private BlockError error(String why) {
            String detail = "compressed cluster at " + packedOffset(entry, clusterBits) + ": " + why;
            return BlockError.of(ErrorKind.CORRUPT, name, "read", detail);
        }

        private void ended(@Nullable BlockError error) {
            loading = false;
            if (error != null) {
                entry = 0;
            }
            waiting.resumeAll(error);
        }
    }
}
