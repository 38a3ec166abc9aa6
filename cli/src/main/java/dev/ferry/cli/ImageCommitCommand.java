package dev.ferry.cli;

import com.fasterxml.jackson.annotation.JsonProperty;
import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.Transfer;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.Chain;
import dev.ferry.stack.Commit;
import dev.ferry.stack.DiskLoop;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.ArgGroup;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image commit}. */
@Command(
        name = "commit",
        description = {
            "Puts what an overlay holds into its backing file, while nobody uses either, and empties the overlay.",
            "A backing file that is smaller grows. One further down gets what all layers above it hold; the overlay is kept"
                    + " as it is then, since those between hide it.",
            "Killed at any time it leaves an overlay that reads the same."
        },
        footer = {
            "",
            "Examples:",
            "  ferry image commit today.qcow2",
            "  ferry image commit today.qcow2 --to-base",
            "  ferry image commit today.qcow2 --base monday.qcow2 --json"
        })
final class ImageCommitCommand implements Callable<Integer> {
    private static final double NANOS_PER_SECOND = 1e9;

    private final Screen screen;

    @Parameters(paramLabel = "OVERLAY", description = "The overlay, a qcow2 image.")
    private Path overlay = Path.of("");

    @ArgGroup
    private @Nullable Where where;

    @Option(names = "--keep", description = "Leave in the overlay what it holds.")
    private boolean keep;

    @Option(
            names = "--shared",
            description = "The backing file may be that of other overlays too; they are other disks after that.")
    private boolean shared;

    @Option(names = "--json", description = "What was done, as JSON: an object.")
    private boolean json;

    private static final class Where {
        @Option(names = "--base", paramLabel = "FILE", description = "Into this one of its layers.")
        private @Nullable Path base;

        @Option(names = "--to-base", description = "Into the lowest of its layers.")
        private boolean toBase;
    }

    /** What was done. */
    private record CommitView(
            String filename,
            String base,
            @JsonProperty("virtual-size") long virtualSize,
            @JsonProperty("base-grown") boolean baseGrown,
            boolean emptied,
            double seconds) {}

    ImageCommitCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        long beganNanos = System.nanoTime();
        CommitView done;
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            Chain chain = Chain.of(loop, ImageCommands.spec(overlay, ImageFormat.QCOW2, true), DataPlane.FILES);
            int depth = depth(chain);
            Commit.check(chain, depth, shared);
            boolean emptied = !keep && depth == 1;
            boolean grown = chain.layers().get(depth).sizeBytes() < chain.top().sizeBytes();
            run(loop, chain, depth, emptied);
            double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
            String base = chain.layers().get(depth).path().toString();
            done = new CommitView(overlay.toString(), base, chain.top().sizeBytes(), grown, emptied, seconds);
        }
        if (json) {
            screen.json(done);
        } else {
            screen.print(String.format(
                    Locale.ROOT,
                    "%s holds what %s held%s%s, in %.1f s",
                    done.base(),
                    overlay,
                    done.baseGrown() ? ", and has grown to its size" : "",
                    done.emptied() ? "; that is empty now" : "",
                    done.seconds()));
        }
        return Ferry.DONE;
    }

    private void run(DiskLoop loop, Chain chain, int depth, boolean emptied) throws BlockException {
        Commit commit = Commit.open(loop, chain, depth, DataPlane.FILES);
        try {
            Transfer transfer = Transfer.ofLayers(loop.loop(), commit.layers(), commit.base());
            try (CopyLine _ = new CopyLine(screen, json, chain.top().sizeBytes(), transfer::doneBytes)) {
                transfer.run();
            }
            if (emptied) {
                commit.empty();
            }
        } finally {
            commit.close();
        }
    }

    private int depth(Chain chain) throws ProblemException {
        Where wanted = where;
        if (wanted == null || chain.depth() == 0) {
            return 1;
        }
        Path base = wanted.base;
        if (wanted.toBase || base == null) {
            return chain.depth();
        }
        Path beside = overlay.toAbsolutePath().resolveSibling(base).normalize();
        Path absolute = base.toAbsolutePath().normalize();
        for (int i = 1; i <= chain.depth(); i++) {
            Path layer = chain.layers().get(i).path();
            if (layer.equals(absolute) || layer.equals(beside)) {
                return i;
            }
        }
        throw Problems.wrongUsage(
                base + " is none of the files below " + overlay + "; 'ferry image info --chain' lists them");
    }
}
