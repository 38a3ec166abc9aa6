package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.migration.MigrationEngine;
import dev.ferry.migration.chain.ChainJobs;
import dev.ferry.migration.chain.ChainStatus;
import dev.ferry.server.api.ChainRequest;
import dev.ferry.server.api.LayerView;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.Chain;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The chains of disks as clients see and change them. Any thread. */
final class Chains {
    private final ChainJobs jobs;
    private final MigrationEngine engine;
    private final DataPlane plane;
    /** How many moves of a disk are about to begin. */
    private final Map<String, Integer> beginnings = new HashMap<>();

    Chains(ChainJobs jobs, MigrationEngine engine, DataPlane plane) {
        this.jobs = jobs;
        this.engine = engine;
        this.plane = plane;
    }

    /** Something that must not begin while the other begins: a move, or a job on a chain. */
    interface Beginning<T> {
        T begin() throws ProblemException, BlockException;
    }

    /** Begins a move of disks none of whose chains is being changed. Nobody else waits while the files of the disks are looked at. */
    <T> T move(List<String> disks, Beginning<T> beginning) throws ProblemException, BlockException {
        synchronized (this) {
            for (String disk : disks) {
                jobs.refuseIfBusy(disk);
            }
            disks.forEach(disk -> beginnings.merge(disk, 1, Integer::sum));
        }
        try {
            return beginning.begin();
        } finally {
            synchronized (this) {
                disks.forEach(disk -> beginnings.computeIfPresent(disk, (_, moves) -> moves == 1 ? null : moves - 1));
            }
        }
    }

    synchronized ChainStatus commit(String disk, ChainRequest request) throws ProblemException, BlockException {
        check(disk, request);
        return jobs.commit(disk, request.layer(), request.depth(), request.bytesPerSecond());
    }

    synchronized ChainStatus stream(String disk, ChainRequest request) throws ProblemException, BlockException {
        check(disk, request);
        return jobs.stream(disk, request.layer(), request.bytesPerSecond());
    }

    private void check(String disk, ChainRequest request) throws ProblemException {
        if (request.bytesPerSecond() < 0) {
            throw Problems.wrongUsage("a rate is not below zero");
        }
        if (beginnings.containsKey(disk) || engine.moving(disk)) {
            throw Problems.conflict("disk " + disk + " is being moved; wait for that, or cancel it first");
        }
    }

    ChainStatus find(String disk) throws ProblemException {
        return jobs.find(disk).orElseThrow(() -> Problems.notFound("no job has changed the chain of disk " + disk));
    }

    ChainStatus rate(String disk, long bytesPerSecond) throws ProblemException, BlockException {
        if (bytesPerSecond < 0) {
            throw Problems.wrongUsage("a rate is not below zero");
        }
        return jobs.rate(disk, bytesPerSecond);
    }

    /** The files that a disk is made of; null where that cannot be seen. */
    @Nullable
    List<LayerView> layers(DiskSpec spec) {
        DiskLoop loop = plane.loops().getFirst();
        try {
            return Chain.of(loop, spec, DataPlane.FILES).layers().stream()
                    .map(layer -> new LayerView(
                            layer.path().toString(),
                            layer.spec().format().text(),
                            layer.sizeBytes(),
                            layer.allocatedBytes(),
                            layer.sharedBy().stream().map(Path::toString).toList()))
                    .toList();
        } catch (BlockException away) {
            return null;
        }
    }
}
