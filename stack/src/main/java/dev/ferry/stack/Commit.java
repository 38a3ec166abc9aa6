package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Geometry;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Emptier;
import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The upper layers of a chain that nobody uses, and the file below them that is to get what they hold. The top file and that
 * one are locked meanwhile.
 *
 * <p>A crash at any point leaves a chain that reads the same: the base is written only where an upper layer hides it, and the top is
 * emptied when the base is durable, in one step.
 *
 * <p>Thread: the control plane; calls block. The two devices belong to the loop.
 */
public final class Commit {
    private final DiskLoop loop;
    private final Chain chain;
    private final BlockDevice topFile;
    private final BlockDevice layers;
    private final BlockDevice base;

    private Commit(DiskLoop loop, Chain chain, BlockDevice topFile, BlockDevice layers, BlockDevice base) {
        this.loop = loop;
        this.chain = chain;
        this.topFile = topFile;
        this.layers = layers;
        this.base = base;
    }

    /**
     * Refuses what must not be: a commit of a disk without a backing file, or into one that others lie over.
     *
     * @param depth which layer is to get it: 1 is the one just below the top
     * @param shared others that lie over the base, or over what is between, are known to be broken by it
     */
    public static void check(Chain chain, int depth, boolean shared) throws BlockException {
        String top = chain.top().spec().shownAs();
        if (chain.depth() == 0) {
            throw refusal(top, "it has no backing file");
        }
        for (Chain.Layer layer : chain.layers().subList(0, depth)) {
            if (layer.spec().format() != ImageFormat.QCOW2) {
                throw refusal(
                        top,
                        layer.path() + " is in format " + layer.spec().format().text() + "; qcow2 is committed");
            }
        }
        ImageFormat format = chain.layers().get(depth).spec().format();
        if (format != ImageFormat.RAW && format != ImageFormat.QCOW2) {
            throw refusal(top, "layers in format " + format.text() + " are not committed into; raw and qcow2 are");
        }
        for (int i = 1; i <= depth && !shared; i++) {
            List<Path> others = chain.layers().get(i).sharedBy();
            if (!others.isEmpty()) {
                throw refusal(
                        top,
                        chain.layers().get(i).path() + " is the backing file of " + others.getFirst()
                                + (others.size() == 1 ? "" : " and " + (others.size() - 1) + " more")
                                + " too, whose disk would be another then");
            }
        }
    }

    private static BlockException refusal(String file, String why) {
        return BlockError.of(ErrorKind.INVALID, file, "commit", why).toException();
    }

    /** Opens both ends; the base grows to the size of the disk if it is smaller. */
    public static Commit open(DiskLoop loop, Chain chain, int depth, FileOpener opener) throws BlockException {
        DiskSpec below = writable(chain.layers().get(depth).spec());
        DiskSpec top = writable(chain.top().spec());
        BlockDevice topFile = CheckedDevice.of(opener.open(loop, top), top.shownAs());
        BlockDevice layers = topFile;
        try {
            if (chain.layers().get(depth).sizeBytes() < chain.top().sizeBytes()) {
                ImageChanges.resize(loop, below, opener, chain.top().sizeBytes());
            }
            BlockDevice base = DiskSide.open(loop, below, opener).device();
            BlockDevice under = new Below(Geometry.ofBytes(base.geometry().sizeBytes()));
            layers = under;
            try {
                for (int i = depth - 1; i > 0; i--) {
                    layers = layer(loop, chain.layers().get(i).spec(), opener, layers, null);
                }
                layers = layer(loop, top.asReadOnly(), opener, layers, new Borrowed(topFile));
                return new Commit(loop, chain, topFile, layers, base);
            } catch (BlockException | RuntimeException failed) {
                OnLoop.await(loop.loop(), base::close);
                throw failed;
            }
        } catch (BlockException | RuntimeException failed) {
            if (layers != topFile) {
                OnLoop.await(loop.loop(), layers::close);
            }
            OnLoop.await(loop.loop(), topFile::close);
            throw failed;
        }
    }

    private static DiskSpec writable(DiskSpec spec) {
        return new DiskSpec(spec.name(), spec.path(), spec.provisioning(), false, false, spec.format());
    }

    private static BlockDevice layer(
            DiskLoop loop, DiskSpec spec, FileOpener opener, BlockDevice below, @Nullable BlockDevice opened)
            throws BlockException {
        BlockDevice file = opened == null ? CheckedDevice.of(opener.open(loop, spec), spec.shownAs()) : opened;
        try {
            return CheckedDevice.of(Images.overlay(loop, spec, file, below, opener), "layer " + spec.shownAs());
        } catch (BlockException | RuntimeException failed) {
            OnLoop.await(loop.loop(), file::close);
            throw failed;
        }
    }

    /** What the upper layers hold, to be read; their extents say where they hold nothing. */
    public BlockDevice layers() {
        return layers;
    }

    /** What is to get it. */
    public BlockDevice base() {
        return base;
    }

    /** When the base has all and is durable: takes it out of the top file. Nothing else is to be asked of this then. */
    public void empty() throws BlockException {
        Qcow2Emptier.empty(new DeviceBytes(
                loop.loop(), Images.anyBytes(loop, topFile), chain.top().spec().shownAs()));
    }

    /** Closes all files. */
    public void close() throws BlockException {
        try {
            OnLoop.await(loop.loop(), layers::close);
            OnLoop.await(loop.loop(), base::close);
        } finally {
            OnLoop.await(loop.loop(), topFile::close);
        }
    }
}
