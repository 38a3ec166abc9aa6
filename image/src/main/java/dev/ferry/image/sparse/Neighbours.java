package dev.ferry.image.sparse;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;

/** Opens the files that a file names: extents, parents. Whoever does so decides what may be opened. */
@FunctionalInterface
public interface Neighbours {
    /** @param fileName a name in the directory of the first file, and never a path */
    OpenFile open(String fileName) throws BlockException;

    /**
     * Opens one that is to be written.
     *
     * @param grows it gets longer
     */
    default OpenFile openForWriting(String fileName, boolean grows) throws BlockException {
        throw BlockError.of(ErrorKind.READ_ONLY, fileName, "open", "further files of a disk are read only here")
                .toException();
    }

    /**
     * Opens the device that a raw device map stands for, which only the operator knows.
     *
     * @param mapName the file name of the map
     */
    default OpenFile openDevice(String mapName, boolean readOnly) throws BlockException {
        throw BlockError.of(
                        ErrorKind.INVALID,
                        mapName,
                        "open",
                        "it is the map of a raw device, and which one that is here was not said: use --map-device "
                                + mapName + "=PATH")
                .toException();
    }

    /** True for what can be the name of a file in a directory: it leads nowhere else. */
    static boolean isName(String name) {
        return !name.isEmpty()
                && !name.equals(".")
                && !name.equals("..")
                && name.chars().noneMatch(c -> c == '/' || c == '\\' || c < ' ');
    }

    /**
     * The last part of a path of any system. A parent is named by where it was when its child was made, which is another
     * place than where both are now; that it is the one that is meant is seen by its identity, and not by its name.
     */
    static String lastOf(String path) {
        return path.substring(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
    }
}
