package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.server.DataPlane;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image compare}: whether two disks hold the same bytes. */
@Command(
        name = "compare",
        description = {
            "Tells whether two disks hold the same bytes, whatever their formats. Fails if they differ.",
            "Where one is longer, the rest of it has to be zeroes."
        })
final class ImageCompareCommand implements Callable<Integer> {
    private final Screen screen;

    @Parameters(index = "0", paramLabel = "A", description = "An image.")
    private Path first = Path.of("");

    @Parameters(index = "1", paramLabel = "B", description = "Another.")
    private Path second = Path.of("");

    @Option(names = "--format", paramLabel = "F", description = "Of A: raw (default), qcow2, vmdk, vhd or vhdx.")
    private @Nullable String firstFormat;

    @Option(names = "--format-b", paramLabel = "F", description = "Of B: raw (default), qcow2, vmdk, vhd or vhdx.")
    private @Nullable String secondFormat;

    ImageCompareCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            BlockDevice a = ImageCommands.open(loop, first, ImageCommands.chosen(loop, first, firstFormat, "--format"));
            BlockDevice b =
                    ImageCommands.open(loop, second, ImageCommands.chosen(loop, second, secondFormat, "--format-b"));
            boolean same = a.geometry().sizeBytes() == b.geometry().sizeBytes();
            long differs = Comparison.firstDifference(loop.loop(), a, b);
            OnLoop.await(loop.loop(), a::close);
            OnLoop.await(loop.loop(), b::close);
            if (differs >= 0) {
                screen.print("they differ, first at byte " + differs);
                return Ferry.FAILED;
            }
            screen.print(same ? "they are equal" : "they are equal, but for zeroes at the end of one");
            return Ferry.DONE;
        }
    }
}
