package dev.ferry.server;

import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.image.qcow2.Qcow2Shape;
import dev.ferry.migration.MigrationEngine;
import dev.ferry.migration.MigrationRequest;
import dev.ferry.migration.MigrationStatus;
import dev.ferry.migration.Strategy;
import dev.ferry.migration.StrategySettings;
import dev.ferry.migration.copy.Mirroring;
import dev.ferry.migration.copy.PaceSettings;
import dev.ferry.migration.rehearsal.RehearsalReport;
import dev.ferry.server.api.MigrateRequest;
import dev.ferry.server.api.ModeRequest;
import dev.ferry.server.api.ProblemException;
import org.jspecify.annotations.Nullable;

/** Migrations as clients ask for them. Any thread. */
final class Moves {
    private static final double LATENCY_MILLIS_MAX = 60_000;
    private static final double DOWNTIME_MILLIS_MAX = 60_000;
    private static final long GRACE_MILLIS_MAX = 10L * 366 * 24 * 60 * 60 * 1000;
    private static final double NANOS_PER_MILLI = 1e6;

    private final MigrationEngine engine;
    private final Chains chains;

    Moves(MigrationEngine engine, Chains chains) {
        this.engine = engine;
        this.chains = chains;
    }

    MigrationStatus start(MigrateRequest request) throws ProblemException, BlockException {
        MigrationRequest checked = checked(request);
        return chains.move(request.disks(), () -> engine.start(checked));
    }

    RehearsalReport rehearse(MigrateRequest request) throws ProblemException, BlockException {
        return engine.rehearse(checked(request));
    }

    /** Refuses to forget a datastore that a move is on its way to, or that a way back leads to. */
    void refuseIfNeeded(String datastore) throws ProblemException {
        for (MigrationStatus move : engine.list()) {
            boolean leadsBack = move.disks().stream()
                    .anyMatch(disk -> disk.sourceDatastore().equals(datastore));
            if (!move.state().over() && (leadsBack || move.targetDatastore().equals(datastore))) {
                throw Problems.conflict("datastore " + datastore + " is needed by migration " + move.id()
                        + "; wait for its end, or commit, roll back or cancel it first");
            }
        }
    }

    private static MigrationRequest checked(MigrateRequest request) throws ProblemException {
        Strategy strategy = strategy(request.mode());
        if (!(request.maxDowntimeMillis() >= 0 && request.maxDowntimeMillis() <= DOWNTIME_MILLIS_MAX)) {
            throw Problems.wrongUsage("a bound on downtime is between 0 and " + DOWNTIME_MILLIS_MAX + " milliseconds");
        }
        if (strategy == Strategy.MIRROR && request.maxDowntimeMillis() != 0) {
            throw Problems.wrongUsage(
                    "a mirror holds no guest for the last of its copy; bound the downtime of another mode");
        }
        ImageFormat format = request.format() == null ? null : Disks.format(request.format());
        if (!(request.maxAddedLatencyMillis() >= 0 && request.maxAddedLatencyMillis() <= LATENCY_MILLIS_MAX)) {
            throw Problems.wrongUsage(
                    "a bound on added latency is between 0 and " + LATENCY_MILLIS_MAX + " milliseconds");
        }
        if (request.floorBytesPerSecond() != 0 && request.maxAddedLatencyMillis() == 0) {
            throw Problems.wrongUsage("a least rate is for a move whose added latency is bounded; bound that too");
        }
        if (request.floorBytesPerSecond() < 0) {
            throw Problems.wrongUsage("a rate is not below zero");
        }
        if (request.bytesPerSecond() < 0) {
            throw Problems.wrongUsage("a rate is not below zero");
        }
        if (request.graceMillis() > GRACE_MILLIS_MAX) {
            throw Problems.wrongUsage("a way back stays open for ten years at most; or until a commit");
        }
        if (Boolean.TRUE.equals(request.withSnapshots()) && Boolean.TRUE.equals(request.dropSnapshots())) {
            throw Problems.wrongUsage("snapshots are taken along or given up; not both");
        }
        if (request.disks().isEmpty()) {
            throw Problems.wrongUsage("no disk is named; name at least one");
        }
        return new MigrationRequest(
                request.disks(),
                request.target(),
                format,
                provisioning(request.provisioning()),
                shape(request, format),
                request.bytesPerSecond(),
                request.verify(),
                request.keepSource(),
                request.graceMillis(),
                pace(request),
                StrategySettings.of(
                        strategy,
                        request.maxDowntimeMillis() == 0
                                ? StrategySettings.MAX_DOWNTIME_NANOS
                                : Math.round(request.maxDowntimeMillis() * NANOS_PER_MILLI)),
                Boolean.TRUE.equals(request.withSnapshots()),
                Boolean.TRUE.equals(request.dropSnapshots()));
    }

    MigrationStatus mode(String id, ModeRequest request) throws ProblemException, BlockException {
        return engine.mode(id, strategy(request.mode()));
    }

    private static Strategy strategy(String mode) throws ProblemException {
        return Strategy.of(mode)
                .orElseThrow(() -> Problems.wrongUsage(
                        "mode '" + mode + "' is not in this version of Ferry; mirror, tracking and snapshot are"));
    }

    private static PaceSettings pace(MigrateRequest request) throws ProblemException {
        long floor = request.floorBytesPerSecond();
        return new PaceSettings(
                Math.round(request.maxAddedLatencyMillis() * NANOS_PER_MILLI),
                floor == 0 ? PaceSettings.DEFAULT.floorBytesPerSecond() : floor,
                mirroring(request.mirror()));
    }

    private static @Nullable Mirroring mirroring(@Nullable String text) throws ProblemException {
        if (text == null) {
            return null;
        }
        return Mirroring.of(text)
                .orElseThrow(
                        () -> Problems.wrongUsage("there is no mirror called '" + text + "'; choose sync or trailing"));
    }

    /** A shape that no disk can have is refused at once, one that a disk's format has not when that is known. */
    private static @Nullable Qcow2Shape shape(MigrateRequest request, @Nullable ImageFormat format)
            throws ProblemException {
        Qcow2Shape shape = DiskMaker.shape(format == null ? ImageFormat.QCOW2 : format, request.shape());
        if (shape.usual()) {
            return null;
        }
        if (Boolean.TRUE.equals(request.withSnapshots())) {
            throw Problems.wrongUsage("disks that take along what they lie over keep their shape:"
                    + " choose a cluster size, extended L2 entries, refcount bits or a version without that");
        }
        return shape;
    }

    private static @Nullable Provisioning provisioning(@Nullable String text) throws ProblemException {
        if (text == null) {
            return null;
        }
        return Provisioning.of(text)
                .orElseThrow(() -> Problems.wrongUsage(
                        "there is no provisioning called '" + text + "'; choose thin, lazy or eager"));
    }
}
