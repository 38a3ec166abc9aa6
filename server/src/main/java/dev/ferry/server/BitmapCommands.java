package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.server.api.BitmapAdd;
import dev.ferry.server.api.BitmapView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.bitmaps.Bitmaps;
import java.util.List;

/** What clients of the daemon ask of the dirty bitmaps of its disks. Any thread. */
final class BitmapCommands {
    private final Disks disks;
    private final Bitmaps bitmaps;

    BitmapCommands(Disks disks, Bitmaps bitmaps) {
        this.disks = disks;
        this.bitmaps = bitmaps;
    }

    List<BitmapView> list(String disk) throws ProblemException, BlockException {
        return bitmaps.list(disks.show(disk).name());
    }

    List<BitmapView> add(String disk, BitmapAdd request) throws ProblemException, BlockException {
        return disks.exclusively(disk, () -> {
            bitmaps.add(disk, disks.show(disk).sizeBytes(), request);
            return bitmaps.list(disk);
        });
    }

    List<BitmapView> clear(String disk, String name) throws ProblemException, BlockException {
        return disks.exclusively(disk, () -> {
            bitmaps.clear(disks.show(disk).name(), name);
            return bitmaps.list(disk);
        });
    }

    void remove(String disk, String name) throws ProblemException, BlockException {
        boolean _ = disks.exclusively(disk, () -> {
            bitmaps.remove(disks.show(disk).name(), name);
            return true;
        });
    }
}
