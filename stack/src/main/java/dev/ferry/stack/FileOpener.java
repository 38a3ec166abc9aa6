package dev.ferry.stack;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Opens the file at the bottom of a stack. There is one for real files; tests put faults between. */
@FunctionalInterface
public interface FileOpener {
    /** Called by the control plane; may block. */
    BlockDevice open(DiskLoop loop, DiskSpec spec) throws BlockException;

    /** The device that a raw device map of VMware stands for here; null if nobody has said. */
    default @Nullable Path deviceOf(String mapName) {
        return null;
    }

    /**
     * The same files, and devices for raw device maps.
     *
     * @param devices by the names of the maps
     */
    static FileOpener mapping(FileOpener files, Map<String, Path> devices) {
        return new FileOpener() {
            @Override
            public BlockDevice open(DiskLoop loop, DiskSpec spec) throws BlockException {
                return files.open(loop, spec);
            }

            @Override
            public @Nullable Path deviceOf(String mapName) {
                return devices.get(mapName);
            }
        };
    }
}
