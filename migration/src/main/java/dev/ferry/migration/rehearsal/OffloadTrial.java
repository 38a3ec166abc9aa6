package dev.ferry.migration.rehearsal;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.TrialFile;
import dev.ferry.image.ImageFormat;
import dev.ferry.migration.rehearsal.RehearsalReport.Finding;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.Stacks;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Tries whether a disk's store and the target's copy among themselves, and how fast, with samples of its data.
 *
 * <p>Thread: one of the control plane; calls block.
 */
final class OffloadTrial {
    private static final int SAMPLE_BYTES = 1 << 20;
    private static final int SAMPLES_MAX = 16;
    private static final long NANOS_MAX = 300_000_000L;

    private OffloadTrial() {}

    /**
     * Tries it, on a file of its own.
     *
     * @param name of that file
     * @return null if the stores do not copy, or there is nothing to try it with
     */
    static @Nullable Times run(
            Stacks stacks,
            Datastore target,
            String name,
            Outlook.Disk disk,
            SourceTrial source,
            Contents contents,
            List<Finding> findings) {
        if (!disk.plan().format().equals(ImageFormat.RAW.text())) {
            return null;
        }
        try (TrialFile file = target.trial(name)) {
            file.extend(disk.plan().sizeBytes());
            DiskSpec spec = new DiskSpec(
                    "rehearsal",
                    file.path(),
                    disk.plan().targetProvisioning(),
                    false,
                    disk.spec().direct());
            DiskSide side = open(stacks, spec, source);
            try {
                return copy(side, source, contents);
            } finally {
                side.close();
            }
        } catch (BlockException e) {
            findings.add(
                    new Finding("offload", Verdict.NOTE, "the stores do not copy by themselves: " + e.getMessage()));
            return null;
        }
    }

    private static DiskSide open(Stacks stacks, DiskSpec spec, SourceTrial source) throws BlockException {
        try {
            return stacks.openAlone(spec, source.diskLoop());
        } catch (BlockException e) {
            if (e.kind() != ErrorKind.UNSUPPORTED || !spec.direct()) {
                throw e;
            }
            return stacks.openAlone(spec.cached(), source.diskLoop());
        }
    }

    private static @Nullable Times copy(DiskSide side, SourceTrial source, Contents contents) throws BlockException {
        Loop loop = side.loop().loop();
        BlockDevice from = source.sideDevice();
        int unit = OnLoop.get(loop, () -> side.device().offloadUnitBytes(from));
        if (unit == 0) {
            return null;
        }
        int length = (int) Math.min(SAMPLE_BYTES, side.sizeBytes()) & -unit;
        List<Long> places = contents.samples(SAMPLES_MAX, SAMPLE_BYTES);
        if (length == 0 || places.isEmpty()) {
            return null;
        }
        return TimedRequests.run(
                loop,
                places.size(),
                NANOS_MAX,
                source.guestAtWork(),
                length,
                (number, ended) -> side.device().copyFrom(from, places.get(number) & -unit, length, ended));
    }
}
