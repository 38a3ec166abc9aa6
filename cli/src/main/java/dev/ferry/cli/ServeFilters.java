package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.device.FileDevice;
import dev.ferry.device.FileOptions;
import dev.ferry.filter.Aligner;
import dev.ferry.filter.Delay;
import dev.ferry.filter.Fault;
import dev.ferry.filter.FaultRule;
import dev.ferry.filter.Gate;
import dev.ferry.filter.RateLimit;
import dev.ferry.filter.snapshot.CopyOnWrite;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.TypeConversionException;

/**
 * Layers that a one-shot server puts in front of its disk, by what is written of them.
 *
 * <pre>
 *   delay=20ms            each request waits
 *   fault=write:0.1%      a share of the requests fails; read, write, flush, all
 *   rate=50M              so many bytes in a second
 *   cow                   what is below is not changed; changes are thrown away at the end
 * </pre>
 */
final class ServeFilters {
    private static final Pattern DELAY = Pattern.compile("delay=([0-9]+)(us|ms|s)");
    private static final Pattern FAULT = Pattern.compile("fault=(read|write|flush|all):([0-9]+(?:\\.[0-9]+)?)%");
    private static final Map<String, Integer> OPERATIONS = Map.of(
            "read",
            FaultRule.READ,
            "write",
            FaultRule.WRITE | FaultRule.ZERO | FaultRule.DISCARD,
            "flush",
            FaultRule.FLUSH,
            "all",
            FaultRule.READ | FaultRule.CHANGES | FaultRule.EXTENTS);

    private final DiskLoop loop;
    private final String name;

    /** @param name what errors call the disk */
    ServeFilters(DiskLoop loop, String name) {
        this.loop = loop;
        this.name = name;
    }

    /** The device behind the filters, the first of them foremost. */
    BlockDevice inFrontOf(BlockDevice device, List<String> written)
            throws ProblemException, IOException, BlockException {
        BlockDevice front = device;
        for (String one : written.reversed()) {
            front = filter(front, one);
        }
        return front;
    }

    /** Lets only so many bytes pass in a second. */
    BlockDevice limited(BlockDevice device, long bytesPerSecond) {
        RateLimit limit = new RateLimit(loop.loop(), device);
        limit.rate(bytesPerSecond);
        return CheckedDevice.of(limit, name);
    }

    /** Keeps changes in a file that nobody else finds, and that ends with this process. */
    BlockDevice copyOnWrite(BlockDevice device) throws ProblemException, IOException, BlockException {
        long sizeBytes = device.geometry().sizeBytes();
        if (sizeBytes == 0) {
            throw Problems.wrongUsage("a disk of no bytes has no changes");
        }
        String folder = System.getenv("TMPDIR");
        Path file = Files.createTempFile(
                Path.of(folder == null || folder.isEmpty() ? "/var/tmp" : folder), "ferry-", ".changes");
        BlockDevice overlay;
        try {
            try (RandomAccessFile sized = new RandomAccessFile(file.toFile(), "rw")) {
                sized.setLength(sizeBytes);
            }
            overlay = FileDevice.open(loop.events(), file, "changes of " + name, FileOptions.CACHED);
        } finally {
            Files.delete(file);
        }
        CopyOnWrite copy = new CopyOnWrite(device, CheckedDevice.of(overlay, "changes of " + name));
        return CheckedDevice.of(new Gate(loop.loop(), new Aligner(copy, loop.buffers())), name);
    }

    private BlockDevice filter(BlockDevice next, String written) throws ProblemException, IOException, BlockException {
        if (written.equals("cow")) {
            return copyOnWrite(next);
        }
        if (written.startsWith("rate=")) {
            return limited(next, rate(written));
        }
        return CheckedDevice.of(drill(next, written), name);
    }

    private static long rate(String written) throws ProblemException {
        try {
            return new Quantities.Rate().convert(written.substring("rate=".length()));
        } catch (TypeConversionException unreadable) {
            throw Problems.wrongUsage(String.valueOf(unreadable.getMessage()));
        }
    }

    private BlockDevice drill(BlockDevice next, String written) throws ProblemException {
        Matcher delay = DELAY.matcher(written);
        if (delay.matches()) {
            TimeUnit unit = switch (delay.group(2)) {
                case "us" -> TimeUnit.MICROSECONDS;
                case "ms" -> TimeUnit.MILLISECONDS;
                default -> TimeUnit.SECONDS;
            };
            Delay made = new Delay(loop.loop(), next, new SplittableRandom());
            made.delay(unit.toNanos(Long.parseLong(delay.group(1))), 0);
            return made;
        }
        Matcher fault = FAULT.matcher(written);
        if (fault.matches()) {
            double percent = Double.parseDouble(fault.group(2));
            if (percent > 100) {
                throw Problems.wrongUsage("'" + written + "': more than 100 % of requests cannot fail");
            }
            int perMillion = (int) Math.round(percent * FaultRule.MILLION / 100);
            int operations = Objects.requireNonNull(OPERATIONS.get(fault.group(1)));
            Fault made = new Fault(next, name, new SplittableRandom());
            made.rule(new FaultRule(operations, 0, Long.MAX_VALUE, perMillion, ErrorKind.IO));
            return made;
        }
        throw Problems.wrongUsage("'" + written
                + "' is no filter; there are delay=20ms, fault=write:0.1% (or read, flush, all), rate=50M, cow");
    }
}
