package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.block.Loop;
import dev.ferry.filter.Delay;
import dev.ferry.filter.Fault;
import dev.ferry.filter.FaultRule;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Layers that a one-shot server puts in front of its disk, by what is written of them.
 *
 * <pre>
 *   delay=20ms            each request waits
 *   fault=write:0.1%      a share of the requests fails; read, write, flush, all
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

    private ServeFilters() {}

    /** The device behind the filters, the first of them foremost. */
    static BlockDevice inFrontOf(BlockDevice device, Loop loop, String name, List<String> written)
            throws ProblemException {
        BlockDevice front = device;
        for (String one : written.reversed()) {
            front = CheckedDevice.of(filter(front, loop, name, one), name);
        }
        return front;
    }

    private static BlockDevice filter(BlockDevice next, Loop loop, String name, String written)
            throws ProblemException {
        Matcher delay = DELAY.matcher(written);
        if (delay.matches()) {
            TimeUnit unit = switch (delay.group(2)) {
                case "us" -> TimeUnit.MICROSECONDS;
                case "ms" -> TimeUnit.MILLISECONDS;
                default -> TimeUnit.SECONDS;
            };
            Delay made = new Delay(loop, next, new SplittableRandom());
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
            int operations = java.util.Objects.requireNonNull(OPERATIONS.get(fault.group(1)));
            Fault made = new Fault(next, name, new SplittableRandom());
            made.rule(new FaultRule(operations, 0, Long.MAX_VALUE, perMillion, ErrorKind.IO));
            return made;
        }
        throw Problems.wrongUsage(
                "'" + written + "' is no filter; there are delay=20ms and fault=write:0.1% (or read, " + "flush, all)");
    }
}
