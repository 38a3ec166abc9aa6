package dev.ferry.cli;

import dev.ferry.server.DataPlane;
import dev.ferry.stack.FileOpener;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Option;

/** Which devices the raw device maps of VMware stand for here. */
final class DeviceMaps {
    @Option(
            names = "--map-device",
            paramLabel = "NAME=PATH",
            description = "vmdk: the device that the raw device map NAME of the disk stands for on this host.")
    private Map<String, Path> devices = new LinkedHashMap<>();

    FileOpener files() {
        return FileOpener.mapping(DataPlane.FILES, devices);
    }
}
