package dev.ferry.image.sparse;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Puts a disk together from its file and those of its parents. A parent is the file beside it that has a name and the
 * identity that the child says. Blocking code of the control plane.
 */
public final class DeltaChain<F extends DeltaFile> {
    private static final int CHAIN_MAX = 64;

    private final Loop loop;
    private final Neighbours neighbours;
    private final Format<F> format;
    private final Top<F> top;

    private DeltaChain(Loop loop, Neighbours neighbours, Format<F> format, Top<F> top) {
        this.loop = loop;
        this.neighbours = neighbours;
        this.format = format;
        this.top = top;
    }

    /** Reads what a file says of itself. */
    @FunctionalInterface
    public interface Format<F extends DeltaFile> {
        F read(FileBytes file) throws BlockException;
    }

    /** Makes the device of the file on top, which may take changes. */
    @FunctionalInterface
    public interface Top<F extends DeltaFile> {
        BlockDevice device(F file, @Nullable Below below) throws BlockException;
    }

    /** The disk, to be read; closing it closes all files. If this fails, the first file is left open and no other. */
    public static <F extends DeltaFile> BlockDevice open(
            OpenFile first, Loop loop, Neighbours neighbours, Format<F> format) throws BlockException {
        return open(first, loop, neighbours, format, (file, below) -> file.device(first.device(), below));
    }

    /** The disk, with a device of its own for the file on top. */
    public static <F extends DeltaFile> BlockDevice open(
            OpenFile first, Loop loop, Neighbours neighbours, Format<F> format, Top<F> top) throws BlockException {
        return new DeltaChain<>(loop, neighbours, format, top).open(first, format.read(first.bytes()), 1);
    }

    private BlockDevice device(OpenFile file, F own, @Nullable Below below, int depth) throws BlockException {
        return depth == 1 ? top.device(own, below) : own.device(file.device(), below);
    }

    private BlockDevice open(OpenFile first, F own, int depth) throws BlockException {
        if (!own.delta()) {
            return device(first, own, null, depth);
        }
        FileBytes file = first.bytes();
        if (depth == CHAIN_MAX) {
            throw flaw(
                    file, ErrorKind.UNSUPPORTED, "its chain of parents is longer than " + CHAIN_MAX + ", or a circle");
        }
        OpenFile found = find(file, own.parentNames());
        BlockDevice below = below(file, own, found, depth);
        try {
            BlockDevice disk = device(first, own, new Below(below, 0), depth);
            return new JoinedExtents(file.name(), List.of(disk, new HeldOpen(file.name(), below)));
        } catch (BlockException failed) {
            close(below);
            throw failed;
        }
    }

    private BlockDevice below(FileBytes child, F own, OpenFile found, int depth) throws BlockException {
        try {
            F its = format.read(found.bytes());
            String flaw = own.flawOfParent(its);
            if (flaw != null) {
                throw flaw(
                        child, ErrorKind.CORRUPT, "its parent " + found.bytes().name() + " " + flaw);
            }
            return open(found, its, depth + 1);
        } catch (BlockException failed) {
            close(found.device());
            throw failed;
        }
    }

    private void close(BlockDevice device) {
        loop.execute(() -> device.close(closed -> {}));
    }

    private OpenFile find(FileBytes child, List<String> names) throws BlockException {
        @Nullable BlockException failed = null;
        for (String name : names) {
            try {
                return neighbours.open(name);
            } catch (BlockException notThere) {
                failed = failed == null ? notThere : failed;
            }
        }
        throw failed != null
                ? failed
                : flaw(child, ErrorKind.CORRUPT, "it is a differencing disk, and does not name its parent");
    }

    private static BlockException flaw(FileBytes file, ErrorKind kind, String detail) {
        return BlockError.of(kind, file.name(), "open", detail).toException();
    }
}
