package dev.ferry.cli;

import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.server.Problems;
import dev.ferry.server.api.DiskShape;
import dev.ferry.server.api.ProblemException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What is said of the shape of a qcow2 image that is to be made, wherever one is made. */
final class ShapeOptions {
    @Option(
            names = "--cluster-size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            description = "qcow2: 512 to 2M (default: 64K).")
    private @Nullable Long clusterBytes;

    @Option(
            names = "--extended-l2",
            description = "qcow2: allocate each cluster in 32 parts; clusters are 16K to 2M then (default: 128K).")
    private boolean extendedL2;

    @Option(names = "--qcow2-version", paramLabel = "N", description = "2 or 3 (default).")
    private @Nullable Integer version;

    @Option(
            names = "--refcount-bits",
            paramLabel = "N",
            description = "qcow2: of the count of a cluster's users: 1, 2, 4, 8, 16 (default), 32 or 64.")
    private @Nullable Integer refcountBits;

    /** What was said, which there can be. */
    Qcow2Shape checked(ImageFormat format) throws ProblemException {
        Qcow2Shape shape = shape();
        if (format != ImageFormat.QCOW2 && !shape.usual()) {
            throw Problems.wrongUsage(
                    "--cluster-size, --extended-l2, --refcount-bits and --qcow2-version are for qcow2 images, and not for "
                            + format.text());
        }
        String flaw = shape.flaw();
        if (flaw != null) {
            throw Problems.wrongUsage(flaw);
        }
        return shape;
    }

    /** For the daemon, which looks at it itself; null where nothing was said. */
    @Nullable
    DiskShape toTell() {
        return shape().usual() ? null : new DiskShape(version, clusterBytes, extendedL2, refcountBits);
    }

    private Qcow2Shape shape() {
        return new Qcow2Shape(version, clusterBytes, extendedL2, refcountBits);
    }
}
