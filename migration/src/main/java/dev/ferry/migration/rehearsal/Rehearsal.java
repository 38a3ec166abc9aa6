package dev.ferry.migration.rehearsal;

import dev.ferry.block.BlockException;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.BaseNames;
import dev.ferry.migration.MigrationPlan.BasePlan;
import dev.ferry.migration.MigrationPlan.DiskPlan;
import dev.ferry.migration.rehearsal.RehearsalReport.Finding;
import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import dev.ferry.migration.rehearsal.RehearsalReport.Room;
import dev.ferry.migration.rehearsal.SourceTrial.Guest;
import dev.ferry.migration.rehearsal.TargetTrial.Figures;
import dev.ferry.stack.Stacks;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Rehearses moves: tries at the target what a move does there, looks what the source holds, and says how the move would go.
 * Nothing is left behind but memory of it in caches.
 *
 * <p>Thread: any; calls block, for a few seconds, and never for longer than half a minute, whatever a side does.
 */
public final class Rehearsal {
    private static final Logger LOG = LoggerFactory.getLogger(Rehearsal.class);
    private static final long NANOS_MAX = 30_000_000_000L;
    private static final long TRIAL_BYTES_MAX = 64L << 20;
    private static final long GENTLE_BYTES_MAX = 16L << 20;
    private static final int TRIAL_PART = 16;
    private static final int DIGEST_BYTES = 4 << 20;
    private static final int DIGEST_ROUNDS = 3;
    private static final double NANOS = 1e9;

    private static final AtomicLong NUMBERS = new AtomicLong();

    private final Stacks stacks;
    private final Executor workers;
    private final LongSupplier nanoTime;
    private final long nanosMax;

    /** @param workers where what may never end is done */
    public Rehearsal(Stacks stacks, Executor workers, LongSupplier nanoTime) {
        this(stacks, workers, nanoTime, NANOS_MAX);
    }

    /** @param nanosMax how long a side may take to answer */
    public Rehearsal(Stacks stacks, Executor workers, LongSupplier nanoTime, long nanosMax) {
        this.nanosMax = nanosMax;
        this.stacks = stacks;
        this.workers = workers;
        this.nanoTime = nanoTime;
    }

    /** What has been found of one disk. */
    private record Found(
            Outlook.Disk disk,
            Contents contents,
            @Nullable Long snapshotBytes,
            @Nullable Range read,
            @Nullable Range offload,
            @Nullable Guest guest) {
        /** With what would be copied for its snapshots. */
        double copiedBytes() {
            return contents.dataBytes() + (snapshotBytes == null ? 0 : snapshotBytes);
        }
    }

    /**
     * Rehearses.
     *
     * @throws BlockException if a disk cannot even be looked at
     */
    public RehearsalReport run(Outlook outlook) throws BlockException {
        CompletableFuture<RehearsalReport> answer = new CompletableFuture<>();
        workers.execute(() -> {
            try {
                answer.complete(rehearse(outlook));
            } catch (BlockException | RuntimeException e) {
                answer.completeExceptionally(e);
            }
        });
        try {
            return answer.get(nanosMax, TimeUnit.NANOSECONDS);
        } catch (TimeoutException | InterruptedException e) {
            LOG.warn("a rehearsal has not ended in time", e);
            Finding silent = new Finding(
                    "answer",
                    Verdict.NO,
                    "a side has not answered within " + TimeUnit.NANOSECONDS.toSeconds(nanosMax) + " s");
            return report(outlook, List.of(silent), null, Figures.NONE, null, List.of());
        } catch (ExecutionException e) {
            if (e.getCause() instanceof BlockException block) {
                throw block;
            }
            throw new CompletionException(e);
        }
    }

    private static RehearsalReport report(
            Outlook outlook,
            List<Finding> findings,
            @Nullable Room room,
            Figures figures,
            @Nullable Range seconds,
            List<RehearsalReport.Disk> disks) {
        return new RehearsalReport(
                findings.stream().noneMatch(finding -> finding.verdict() == Verdict.NO),
                findings,
                outlook.target().name(),
                room,
                figures.bytesPerSecondWritten(),
                figures.bytesPerSecondRead(),
                figures.writeMillis(),
                figures.flushMillis(),
                seconds,
                bases(outlook),
                disks);
    }

    private static List<RehearsalReport.Base> bases(Outlook outlook) {
        List<RehearsalReport.Base> bases = new ArrayList<>();
        for (BasePlan plan : outlook.bases()) {
            String name = BaseNames.of(plan.sourcePath(), 1);
            bases.add(new RehearsalReport.Base(
                    plan.sourcePath().toString(),
                    name,
                    plan.format(),
                    plan.lengthBytes(),
                    plan.allocatedBytes(),
                    plan.disks(),
                    Files.exists(outlook.target().directory().resolve(name), LinkOption.NOFOLLOW_LINKS)));
        }
        return bases;
    }

    private RehearsalReport rehearse(Outlook outlook) throws BlockException {
        List<Finding> findings = new ArrayList<>();
        outlook.obstacles().forEach(why -> findings.add(new Finding("plan", Verdict.NO, why)));
        List<SourceTrial> sources = new ArrayList<>();
        try {
            boolean gentle = false;
            for (Outlook.Disk disk : outlook.disks()) {
                SourceTrial source = new SourceTrial(stacks, disk);
                sources.add(source);
                gentle |= source.guestAtWork();
            }
            List<Contents> contents = new ArrayList<>();
            List<@Nullable Range> reads = new ArrayList<>();
            for (int i = 0; i < sources.size(); i++) {
                Contents held = sources.get(i).contents();
                contents.add(held);
                reads.add(read(outlook.disks().get(i), sources.get(i), held, findings));
            }
            Figures figures = outlook.disks().isEmpty() ? Figures.NONE : tryTarget(outlook, gentle, findings);
            List<Found> found = new ArrayList<>();
            for (int i = 0; i < sources.size(); i++) {
                Outlook.Disk disk = outlook.disks().get(i);
                Times offload = OffloadTrial.run(
                        stacks, outlook.target(), name(), disk, sources.get(i), contents.get(i), findings);
                found.add(new Found(
                        disk,
                        contents.get(i),
                        sources.get(i).snapshotBytes(),
                        reads.get(i),
                        offload == null ? null : offload.bytesPerSecond(),
                        sources.get(i).guest()));
            }
            return conclude(outlook, findings, figures, found);
        } finally {
            sources.forEach(Rehearsal::close);
        }
    }

    private static void close(SourceTrial source) {
        try {
            source.close();
        } catch (BlockException e) {
            LOG.warn("a disk did not close well after a rehearsal", e);
        }
    }

    private static @Nullable Range read(
            Outlook.Disk disk, SourceTrial source, Contents contents, List<Finding> findings) throws BlockException {
        String name = disk.plan().name();
        if (!contents.known()) {
            findings.add(new Finding(
                    "contents",
                    Verdict.UNKNOWN,
                    "the map of disk " + name + " is long; of its first " + contents.mappedBytes() + " bytes "
                            + contents.dataBytes() + " are data"));
        }
        Times times = source.read(contents);
        return times.bytesPerSecond();
    }

    private Figures tryTarget(Outlook outlook, boolean gentle, List<Finding> findings) {
        long sizeBytes = 1;
        boolean direct = false;
        for (Outlook.Disk disk : outlook.disks()) {
            sizeBytes = Math.max(sizeBytes, disk.plan().sizeBytes());
            direct |= disk.spec().direct();
        }
        long bytesMax = Math.min(
                gentle ? GENTLE_BYTES_MAX : TRIAL_BYTES_MAX,
                (outlook.freeBytes() - outlook.reserveBytes()) / TRIAL_PART);
        RandomGenerator random = new SplittableRandom(nanoTime.getAsLong());
        return new TargetTrial(stacks, outlook.target(), sizeBytes, direct, gentle, bytesMax, random, findings)
                .run(name());
    }

    private static String name() {
        return "rehearsal-" + ProcessHandle.current().pid() + "-" + NUMBERS.incrementAndGet();
    }

    private RehearsalReport conclude(Outlook outlook, List<Finding> findings, Figures figures, List<Found> found) {
        if (found.isEmpty()) {
            return report(outlook, findings, null, figures, null, List.of());
        }
        boolean guests = found.stream()
                .anyMatch(one -> one.guest() != null && one.guest().atWork());
        double digested = outlook.verify() ? digestedPerSecond() : 0;
        Range seconds = seconds(outlook, figures, found, digested, guests);
        Room room = room(outlook, found, seconds);
        tellRoom(outlook, room, found, seconds, findings);
        if (seconds == null) {
            findings.add(new Finding("time", Verdict.UNKNOWN, "not all that it depends on could be measured"));
        }
        List<RehearsalReport.Disk> disks = new ArrayList<>();
        for (Found one : found) {
            disks.add(disk(outlook, figures, one, forecast(outlook, figures, List.of(one), one.read(), 0, guests)));
        }
        return report(outlook, findings, room, figures, seconds, disks);
    }

    /** All disks at once, at the speed of the slowest source. */
    private static @Nullable Range seconds(
            Outlook outlook, Figures figures, List<Found> found, double digested, boolean guests) {
        Range source = null;
        for (Found one : found) {
            if (!one.contents().known()) {
                return null;
            }
            Range read = one.read();
            if (read != null) {
                source = slower(source, read);
            }
        }
        return found.isEmpty()
                ? null
                : forecast(outlook, figures, found, source, digested, guests).seconds();
    }

    private static Range slower(@Nullable Range one, Range other) {
        return one == null
                ? other
                : new Range(Math.min(one.least(), other.least()), Math.min(one.most(), other.most()));
    }

    private static Forecast forecast(
            Outlook outlook,
            Figures figures,
            List<Found> found,
            @Nullable Range source,
            double digested,
            boolean guests) {
        double data = outlook.baseBytes();
        double zeroed = 0;
        double offloaded = 0;
        Range offload = null;
        for (Found one : found) {
            DiskPlan plan = one.disk().plan();
            data += one.copiedBytes();
            if (one.offload() != null) {
                offloaded += one.contents().dataBytes();
                offload = slower(offload, one.offload());
            }
            zeroed += plan.targetProvisioning() == Provisioning.EAGER ? plan.sizeBytes() : 0;
        }
        return new Forecast(
                data,
                zeroed,
                offloaded,
                offload,
                source,
                figures.bytesPerSecondWritten(),
                figures.bytesPerSecondRead(),
                digested,
                outlook.bytesPerSecondMax(),
                guests);
    }

    private static Room room(Outlook outlook, List<Found> found, @Nullable Range seconds) {
        double needed = outlook.baseBytes();
        double growth = 0;
        for (Found one : found) {
            DiskPlan plan = one.disk().plan();
            Guest guest = one.guest();
            if (plan.targetProvisioning() != Provisioning.THIN) {
                needed += plan.sizeBytes();
                continue;
            }
            double data = one.contents().dataBytes();
            needed += one.copiedBytes();
            if (guest != null && seconds != null) {
                growth += Math.min(plan.sizeBytes() - data, guest.bytesPerSecond() * seconds.most());
            }
        }
        return new Room((long) needed, (long) growth, outlook.reserveBytes(), outlook.freeBytes());
    }

    private static void tellRoom(
            Outlook outlook, Room room, List<Found> found, @Nullable Range seconds, List<Finding> findings) {
        boolean known =
                seconds != null && found.stream().allMatch(one -> one.contents().known());
        if (!room.enough()) {
            findings.add(new Finding(
                    "room",
                    Verdict.NO,
                    (room.neededBytes() + room.growthBytes()) + " bytes are needed, and "
                            + Math.max(0, room.freeBytes() - room.reserveBytes()) + " of those free are to be had"
                            + (outlook.promisedBytes() > 0
                                    ? " (" + outlook.promisedBytes() + " more are promised to other moves)"
                                    : "")
                            + "; the move would park"));
        } else if (!known) {
            findings.add(new Finding(
                    "room", Verdict.UNKNOWN, "how much is needed in the end is not known; what is known of is there"));
        } else {
            findings.add(new Finding("room", Verdict.OK, "there is room for what is there and what will be written"));
        }
    }

    private static RehearsalReport.Disk disk(Outlook outlook, Figures figures, Found found, Forecast forecast) {
        DiskPlan plan = found.disk().plan();
        Contents contents = found.contents();
        Guest guest = found.guest();
        Long data = contents.known() ? Long.valueOf(contents.dataBytes()) : null;
        return new RehearsalReport.Disk(
                plan.name(),
                plan.sizeBytes(),
                data,
                data == null ? null : Long.valueOf(plan.sizeBytes() - data),
                plan.format(),
                plan.sourceDatastore(),
                plan.sourcePath().toString(),
                plan.targetPath().toString(),
                plan.sourceProvisioning(),
                plan.targetProvisioning(),
                plan.targetShape(),
                found.offload() == null ? outlook.mover() : "offload",
                found.read(),
                guest == null ? null : Long.valueOf((long) guest.bytesPerSecond()),
                Forecast.addedMillis(figures.writeMillis(), guest == null ? null : guest.writeMillis()),
                forecast.longestWaitMillis(),
                found.snapshotBytes() == null
                        ? null
                        : new RehearsalReport.Snapshots(plan.snapshots(), found.snapshotBytes()));
    }

    /** Half of the processors compare. */
    private double digestedPerSecond() {
        MessageDigest sha;
        try {
            sha = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException missing) {
            throw new IllegalStateException("every Java has SHA-256", missing);
        }
        byte[] bytes = new byte[DIGEST_BYTES];
        long quickest = Long.MAX_VALUE;
        for (int i = 0; i < DIGEST_ROUNDS; i++) {
            long before = nanoTime.getAsLong();
            sha.update(bytes);
            sha.digest();
            quickest = Math.min(quickest, nanoTime.getAsLong() - before);
        }
        int comparing = Math.max(1, Runtime.getRuntime().availableProcessors() / 2);
        return comparing * DIGEST_BYTES * NANOS / Math.max(1, quickest);
    }
}
