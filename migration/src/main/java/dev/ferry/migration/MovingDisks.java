package dev.ferry.migration;

import dev.ferry.block.BlockException;
import dev.ferry.migration.MovingDisk.Stage;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** The disks of a move that are at work, and what is done to all of them. Thread: that of the move, except what is marked. */
final class MovingDisks {
    private final List<MovingDisk> disks = new CopyOnWriteArrayList<>();

    /** Any thread. */
    List<MovingDisk> all() {
        return disks;
    }

    void add(MovingDisk disk) {
        disks.add(disk);
    }

    /** Adds those that are not among them yet. */
    void addMissing(Collection<MovingDisk> others) {
        for (MovingDisk disk : others) {
            if (!disks.contains(disk)) {
                disks.add(disk);
            }
        }
    }

    // ---- how far they are

    boolean any(Stage stage) {
        for (MovingDisk disk : disks) {
            if (disk.stage == stage) {
                return true;
            }
        }
        return false;
    }

    boolean each(Stage stage) {
        for (MovingDisk disk : disks) {
            if (disk.stage != stage) {
                return false;
            }
        }
        return true;
    }

    /** How many are being copied. */
    int copying() {
        int copying = 0;
        for (MovingDisk disk : disks) {
            copying += disk.stage == Stage.COPYING ? 1 : 0;
        }
        return copying;
    }

    // ---- what is done to them, as far as they are on their way

    private static boolean onTheWay(MovingDisk disk) {
        return disk.carrier != null && disk.stage != Stage.SWITCHED;
    }

    /** A comparison that is under way is given up, and done anew later. */
    void pause() throws BlockException {
        stopCopying();
        for (MovingDisk disk : disks) {
            if (disk.stage == Stage.VERIFYING) {
                disk.stage = Stage.COPIED;
            }
        }
    }

    void stopCopying() throws BlockException {
        for (MovingDisk disk : disks) {
            if (onTheWay(disk)) {
                disk.carrier().pause();
            }
        }
    }

    void goOnCopying() throws BlockException {
        for (MovingDisk disk : disks) {
            if (onTheWay(disk)) {
                disk.carrier().resume();
            }
        }
    }

    void mode(Strategy strategy) throws BlockException {
        for (MovingDisk disk : disks) {
            if (onTheWay(disk)) {
                disk.carrier().mode(strategy);
            }
        }
    }

    /**
     * The rate is that of the whole move, so disks that copy share it; they are compared one after the other.
     *
     * @param bytesPerSecond 0: no bound
     */
    void spreadRate(long bytesPerSecond) throws BlockException {
        int copying = Math.max(1, copying());
        for (MovingDisk disk : disks) {
            if (onTheWay(disk)) {
                disk.carrier().rate(bytesPerSecond == 0 ? 0 : Math.max(1, bytesPerSecond / copying));
            }
        }
    }

    /** The guests stay on the sources. */
    void abandon() throws BlockException {
        for (MovingDisk disk : disks) {
            if (onTheWay(disk)) {
                disk.carrier().abandon();
            }
        }
    }

    void suspend() {
        for (MovingDisk disk : disks) {
            if (disk.carrier != null) {
                disk.carrier().suspend();
            }
        }
    }
}
