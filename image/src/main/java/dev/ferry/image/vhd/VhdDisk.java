package dev.ferry.image.vhd;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Below;
import dev.ferry.image.sparse.FlatExtent;
import dev.ferry.image.sparse.JoinedExtents;
import dev.ferry.image.sparse.Neighbours;
import dev.ferry.image.sparse.OpenFile;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Puts a disk together from its file and those of its parents. A parent is the file beside it that has the name and the
 * identity that the child says. Blocking code of the control plane.
 */
public final class VhdDisk {
    private static final int CHAIN_MAX = 64;

    private VhdDisk() {}

    /** The disk; closing it closes all files. If this fails, the first file is left open and no other. */
    public static BlockDevice open(OpenFile first, Loop loop, Neighbours neighbours) throws BlockException {
        return open(first, VhdImage.open(first.bytes()), loop, neighbours, 1);
    }

    private static BlockDevice open(OpenFile first, VhdImage image, Loop loop, Neighbours neighbours, int depth)
            throws BlockException {
        VhdParent parent = image.parent();
        if (parent == null) {
            return image.device(first.device(), null);
        }
        FileBytes file = first.bytes();
        if (depth == CHAIN_MAX) {
            throw VhdImage.flaw(
                    file, ErrorKind.UNSUPPORTED, "its chain of parents is longer than " + CHAIN_MAX + ", or a circle");
        }
        OpenFile found = find(file, parent, neighbours);
        try {
            VhdImage its = VhdImage.open(found.bytes());
            if (!its.identity().equals(parent.identity())) {
                throw VhdImage.flaw(
                        file,
                        ErrorKind.CORRUPT,
                        "its parent " + found.bytes().name() + " has the identity " + its.identity()
                                + ", and it was made over " + parent.identity() + ": that is another disk");
            }
            BlockDevice below = open(found, its, loop, neighbours, depth + 1);
            BlockDevice own = image.device(first.device(), new Below(below, 0));
            // The parent is closed with the disk, as a part of no size.
            return new JoinedExtents(file.name(), List.of(own, new FlatExtent(file.name(), below, 0, 0)));
        } catch (BlockException failed) {
            loop.execute(() -> found.device().close(closed -> {}));
            throw failed;
        }
    }

    private static OpenFile find(FileBytes child, VhdParent parent, Neighbours neighbours) throws BlockException {
        @Nullable BlockException failed = null;
        for (String name : parent.names()) {
            try {
                return neighbours.open(name);
            } catch (BlockException notThere) {
                failed = failed == null ? notThere : failed;
            }
        }
        throw failed != null
                ? failed
                : VhdImage.flaw(child, ErrorKind.CORRUPT, "it is a differencing disk, and does not name its parent");
    }
}
