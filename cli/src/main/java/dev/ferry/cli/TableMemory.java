package dev.ferry.cli;

import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import picocli.CommandLine.Option;

/** How much memory the tables of an open qcow2 disk may take. */
final class TableMemory {
    static final String NAME = "--table-memory";

    private static final long BYTES_MIN = 256 << 10;
    private static final long BYTES_MAX = 16L << 30;

    @Option(
            names = NAME,
            paramLabel = "S",
            converter = Quantities.Size.class,
            defaultValue = "2M",
            description = {
                "For the tables of each qcow2 disk, whatever its size (default: 2M, which is enough for 16 GiB",
                "in clusters of 64K; 16 TiB at random want 2G). Less costs reads, and nothing else."
            })
    private long bytes;

    long bytes() throws ProblemException {
        if (bytes < BYTES_MIN || bytes > BYTES_MAX) {
            throw Problems.wrongUsage(NAME + " is a size from 256K to 16G");
        }
        return bytes;
    }
}
