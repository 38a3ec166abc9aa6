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
public final class DeltaChain {
    private static final int CHAIN_MAX = 64;

    private final Loop loop;
    private final Neighbours neighbours;
    private final Format format;

    private DeltaChain(Loop loop, Neighbours neighbours, Format format) {
        this.loop = loop;
        this.neighbours = neighbours;
        this.format = format;
    }

    /** Reads what a file says of itself. */
    @FunctionalInterface
    public interface Format {
        DeltaFile read(FileBytes file) throws BlockException;
    }

    /** The disk; closing it closes all files. If this fails, the first file is left open and no other. */
    public static BlockDevice open(OpenFile first, Loop loop, Neighbours neighbours, Format format)
            throws BlockException {
        return new DeltaChain(loop, neighbours, format).open(first, format.read(first.bytes()), 1);
    }

    private BlockDevice open(OpenFile first, DeltaFile own, int depth) throws BlockException {
        if (!own.delta()) {
            return own.device(first.device(), null);
        }
        FileBytes file = first.bytes();
        if (depth == CHAIN_MAX) {
            throw flaw(
                    file, ErrorKind.UNSUPPORTED, "its chain of parents is longer than " + CHAIN_MAX + ", or a circle");
        }
        OpenFile found = find(file, own.parentNames());
        try {
            DeltaFile its = format.read(found.bytes());
            String flaw = own.flawOfParent(its);
            if (flaw != null) {
                throw flaw(
                        file, ErrorKind.CORRUPT, "its parent " + found.bytes().name() + " " + flaw);
            }
            BlockDevice below = open(found, its, depth + 1);
            BlockDevice disk = own.device(first.device(), new Below(below, 0));
            // The parent is closed with the disk, as a part of no size.
            return new JoinedExtents(file.name(), List.of(disk, new FlatExtent(file.name(), below, 0, 0)));
        } catch (BlockException failed) {
            loop.execute(() -> found.device().close(closed -> {}));
            throw failed;
        }
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
