package dev.ferry.migration.rehearsal;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.ExtentSink;
import dev.ferry.block.IoBuffer;
import dev.ferry.block.Loop;
import dev.ferry.block.RequestFlags;
import dev.ferry.datastore.Datastore;
import dev.ferry.datastore.TrialFile;
import dev.ferry.image.Provisioning;
import dev.ferry.migration.rehearsal.RehearsalReport.Finding;
import dev.ferry.migration.rehearsal.RehearsalReport.Range;
import dev.ferry.stack.DiskSide;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import dev.ferry.stack.Stacks;
import java.util.List;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/**
 * Does to a file of its own at the target all that a move does there: makes it, of the exact size, renames it, locks it, writes,
 * zeroes, discards and maps it, past the page cache or not, and times it. The file is gone at the end.
 *
 * <p>Thread: one of the control plane; calls block. Used once.
 */
final class TargetTrial {
    private static final int PIECE_BYTES = 1 << 20;
    private static final int SHORT_BYTES = 4096;
    private static final int SHORT_WRITES = 100;
    private static final int FLUSHES = 12;
    private static final long WRITE_NANOS_MAX = 400_000_000L;
    private static final long SHORT_NANOS_MAX = 200_000_000L;
    private static final double NANOS = 1e9;

    /** What is timed; null or empty where nothing was. */
    record Figures(
            @Nullable Range bytesPerSecondWritten,
            @Nullable Range bytesPerSecondRead,
            @Nullable Range writeMillis,
            @Nullable Range flushMillis) {
        static final Figures NONE = new Figures(null, null, null, null);
    }

    private final Stacks stacks;
    private final Datastore datastore;
    private final long sizeBytes;
    private final boolean wantsDirect;
    private final boolean gentle;
    private final int pieces;
    private final List<Finding> findings;
    /** Bytes that nothing packs or shares. */
    private final byte[] content = new byte[PIECE_BYTES];

    /**
     * @param sizeBytes of the largest disk that is to go there
     * @param wantsDirect disks are to be opened past the page cache
     * @param gentle a guest is at work beside this
     * @param bytesMax what may be written
     * @param random gives what is written there
     * @param findings where what was found goes
     */
    TargetTrial(
            Stacks stacks,
            Datastore datastore,
            long sizeBytes,
            boolean wantsDirect,
            boolean gentle,
            long bytesMax,
            RandomGenerator random,
            List<Finding> findings) {
        this.stacks = stacks;
        this.datastore = datastore;
        this.sizeBytes = sizeBytes;
        this.wantsDirect = wantsDirect;
        this.gentle = gentle;
        this.pieces = (int) Math.min(Integer.MAX_VALUE, bytesMax / PIECE_BYTES);
        this.findings = findings;
        random.nextBytes(content);
    }

    /**
     * Tries it all.
     *
     * @param name of the trial's file
     */
    Figures run(String name) {
        TrialFile file;
        try {
            file = datastore.trial(name);
        } catch (BlockException e) {
            no("rights", e);
            return Figures.NONE;
        }
        Figures figures = Figures.NONE;
        try {
            figures = on(file);
        } finally {
            try {
                file.close();
            } catch (BlockException e) {
                no("delete", e);
            }
        }
        return figures;
    }

    private Figures on(TrialFile file) {
        try {
            file.extend(sizeBytes);
        } catch (BlockException e) {
            no("size", e);
            return Figures.NONE;
        }
        try {
            file.rename();
            ok("rights", "a file can be made, given another name and deleted");
        } catch (BlockException e) {
            no("rename", e);
            return Figures.NONE;
        }
        boolean direct = direct(file);
        DiskSide side;
        try {
            side = stacks.openAlone(spec(file, direct && wantsDirect));
        } catch (BlockException e) {
            no("open", e);
            return Figures.NONE;
        }
        try {
            return opened(file, side);
        } catch (BlockException e) {
            no("use", e);
            return Figures.NONE;
        } finally {
            try {
                side.close();
            } catch (BlockException e) {
                no("close", e);
            }
        }
    }

    private static DiskSpec spec(TrialFile file, boolean direct) {
        return new DiskSpec("rehearsal", file.path(), Provisioning.THIN, false, direct);
    }

    private boolean direct(TrialFile file) {
        try {
            DiskSide side = stacks.openAlone(spec(file, true));
            int block = side.file().geometry().blockSizeBytes();
            side.close();
            ok("direct", "O_DIRECT works, in blocks of " + block + " bytes; the guest's own blocks stay what they are");
            return true;
        } catch (BlockException e) {
            Verdict verdict = wantsDirect ? Verdict.NOTE : Verdict.OK;
            String consequence = wantsDirect ? "; it would go through the page cache" : "; nobody asked for it";
            findings.add(new Finding("direct", verdict, e.error().detail() + consequence));
            return false;
        }
    }

    private Figures opened(TrialFile file, DiskSide side) throws BlockException {
        size(side);
        locks(file);
        map(side);
        zeroes(side);
        discards(side);
        return timed(side);
    }

    /** The last bytes are there, and no more. */
    private void size(DiskSide side) throws BlockException {
        int length = (int) Math.min(SHORT_BYTES, sizeBytes);
        IoBuffer written = content(length);
        IoBuffer found = IoBuffer.allocate(length);
        write(side, sizeBytes - length, written, length);
        read(side, sizeBytes - length, found, length);
        boolean same = written.segment().mismatch(found.segment()) == -1;
        if (side.sizeBytes() == sizeBytes && same) {
            ok("size", "a file of exactly " + sizeBytes + " bytes, and its last ones can be used");
        } else {
            findings.add(new Finding(
                    "size", Verdict.NO, "a file of " + sizeBytes + " bytes does not give back what is written to it"));
        }
    }

    private void locks(TrialFile file) throws BlockException {
        if (file.locked()) {
            ok("locks", "two programs cannot write to one disk");
        } else {
            note("locks", "this file system has no locks that work: nothing keeps two programs off one disk");
        }
    }

    private void map(DiskSide side) throws BlockException {
        if (!side.device().capabilities().extents()) {
            note("map", "holes cannot be told from data there");
            return;
        }
        long holes = holeBytes(side, 0, sizeBytes);
        if (holes == 0 && sizeBytes > PIECE_BYTES) {
            note("map", "a file that was never written to shows no holes");
        } else {
            ok("map", "holes can be told from data");
        }
    }

    private long holeBytes(DiskSide side, long offset, long length) throws BlockException {
        long[] holes = {0, offset};
        ExtentSink sink = (from, bytes, state) -> {
            holes[0] += state == 0 ? 0 : bytes;
            holes[1] = from + bytes;
        };
        OnLoop.await(side.loop().loop(), end -> side.device().extents(offset, length, sink, end));
        return holes[0];
    }

    private void zeroes(DiskSide side) throws BlockException {
        int length = trialLength();
        write(side, 0, content(length), length);
        OnLoop.await(side.loop().loop(), end -> side.device().writeZeroes(0, length, RequestFlags.NO_HOLE, end));
        if (!readsAsZeroes(side, length)) {
            findings.add(new Finding("zero", Verdict.NO, "what has been zeroed does not read as zeroes"));
        } else if (side.device().capabilities().fastZero()) {
            ok("zero", "ranges are zeroed without writing zeroes");
        } else {
            note("zero", "zeroes have to be written out there");
        }
    }

    private void discards(DiskSide side) throws BlockException {
        int length = trialLength();
        write(side, 0, content(length), length);
        OnLoop.await(side.loop().loop(), side.device()::flush);
        OnLoop.await(side.loop().loop(), end -> side.device().discard(0, length, 0, end));
        if (!readsAsZeroes(side, length)) {
            findings.add(new Finding("discard", Verdict.NO, "what has been discarded does not read as zeroes"));
        } else if (side.file().capabilities().discard() && holeBytes(side, 0, length) == length) {
            ok("discard", "what is discarded becomes a hole");
        } else {
            note("discard", "what is discarded keeps its room: thin disks grow there and do not shrink");
        }
    }

    private boolean readsAsZeroes(DiskSide side, int length) throws BlockException {
        IoBuffer found = content(length);
        read(side, 0, found, length);
        return found.isZero(0, length);
    }

    private int trialLength() {
        return (int) Math.min(PIECE_BYTES, sizeBytes);
    }

    // ---- how fast it is

    private Figures timed(DiskSide side) throws BlockException {
        if (pieces == 0) {
            findings.add(new Finding("speed", Verdict.UNKNOWN, "there is too little room to write anything there"));
            return Figures.NONE;
        }
        Loop loop = side.loop().loop();
        BlockDevice device = side.device();
        int length = trialLength();
        IoBuffer content = content(length);
        Times writes = TimedRequests.run(
                loop,
                pieces,
                WRITE_NANOS_MAX,
                gentle,
                length,
                (number, ended) -> device.write(place(number, length), content, 0, length, 0, ended));
        Times firm = TimedRequests.run(loop, 1, Long.MAX_VALUE, gentle, 0, (_, ended) -> device.flush(ended));
        IoBuffer found = IoBuffer.allocate(length);
        Times reads = TimedRequests.run(
                loop,
                writes.count(),
                WRITE_NANOS_MAX,
                gentle,
                length,
                (number, ended) -> device.read(place(number, length), found, 0, length, ended));
        int few = (int) Math.min(SHORT_BYTES, sizeBytes);
        Times shorts = TimedRequests.run(
                loop,
                SHORT_WRITES,
                SHORT_NANOS_MAX,
                gentle,
                few,
                (number, ended) -> device.write(place(number * 37, few), content, 0, few, 0, ended));
        Times flushes = TimedRequests.run(
                loop,
                FLUSHES,
                SHORT_NANOS_MAX,
                gentle,
                few,
                (number, ended) -> device.write(place(number * 41, few), content, 0, few, RequestFlags.FUA, ended));
        return new Figures(written(writes, firm), reads.bytesPerSecond(), shorts.millis(), flushes.millis());
    }

    /** At worst as fast as what was made durable, at best as fast as what was taken. */
    private static @Nullable Range written(Times writes, Times firm) {
        Range taken = writes.bytesPerSecond();
        if (taken == null) {
            return null;
        }
        double durable = writes.bytes() * NANOS / Math.max(1, writes.totalNanos() + firm.totalNanos());
        return new Range(Math.min(durable, taken.least()), Math.max(durable, taken.most()));
    }

    /** Within what the trial may take up. */
    private long place(int number, int length) {
        long room = Math.max(1, Math.min(sizeBytes, (long) pieces * PIECE_BYTES) / length);
        return number % room * length;
    }

    private static void write(DiskSide side, long offset, IoBuffer from, int length) throws BlockException {
        OnLoop.await(side.loop().loop(), end -> side.device().write(offset, from, 0, length, 0, end));
    }

    private static void read(DiskSide side, long offset, IoBuffer into, int length) throws BlockException {
        OnLoop.await(side.loop().loop(), end -> side.device().read(offset, into, 0, length, end));
    }

    private IoBuffer content(int length) {
        IoBuffer buffer = IoBuffer.allocate(length);
        buffer.copyFrom(content, 0, 0, length);
        return buffer;
    }

    // ---- findings

    private void ok(String what, String text) {
        findings.add(new Finding(what, Verdict.OK, text));
    }

    private void note(String what, String text) {
        findings.add(new Finding(what, Verdict.NOTE, text));
    }

    private void no(String what, BlockException why) {
        boolean silent = why.kind() == ErrorKind.TIMED_OUT;
        findings.add(new Finding(
                what, Verdict.NO, silent ? "it does not answer" : why.error().message()));
    }
}
