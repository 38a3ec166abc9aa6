package dev.ferry.cli;

import dev.ferry.block.BlockException;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdInfo;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.nbd.wire.ExportReport;
import dev.ferry.nbd.wire.Nbd;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry nbd info}: what a server says of itself and its exports. */
@Command(
        name = "info",
        description = "Asks an NBD server what it exports.",
        footer = {
            "",
            "Examples:",
            "  ferry nbd info nbd://127.0.0.1/vm1",
            "  ferry nbd info --list 'nbd+unix:///?socket=/run/ferry/nbd.sock'",
            "  ferry nbd info --map --context qemu:dirty-bitmap:nightly nbds://host/vm1"
        })
final class NbdInfoCommand implements Callable<Integer> {
    private static final Map<Integer, String> FLAGS = new LinkedHashMap<>();

    static {
        FLAGS.put(Nbd.FLAG_READ_ONLY, "read-only");
        FLAGS.put(Nbd.FLAG_SEND_FLUSH, "flush");
        FLAGS.put(Nbd.FLAG_SEND_FUA, "fua");
        FLAGS.put(Nbd.FLAG_ROTATIONAL, "rotational");
        FLAGS.put(Nbd.FLAG_SEND_TRIM, "trim");
        FLAGS.put(Nbd.FLAG_SEND_WRITE_ZEROES, "zero");
        FLAGS.put(Nbd.FLAG_SEND_FAST_ZERO, "fast-zero");
        FLAGS.put(Nbd.FLAG_SEND_DF, "df");
        FLAGS.put(Nbd.FLAG_CAN_MULTI_CONN, "multi-conn");
        FLAGS.put(Nbd.FLAG_SEND_CACHE, "cache");
        FLAGS.put(Nbd.FLAG_BLOCK_STATUS_PAYLOAD, "block-status-payload");
    }

    private final Screen screen;

    @Parameters(paramLabel = "URI", description = "Such as nbd://HOST/NAME or nbd+unix:///NAME?socket=PATH.")
    private String uri = "";

    @Option(names = "--list", description = "All exports of the server.")
    private boolean list;

    @Option(names = "--map", description = "What the export's ranges are: data, holes and zeroes.")
    private boolean map;

    @Option(
            names = "--context",
            paramLabel = "NAME",
            defaultValue = Nbd.BASE_ALLOCATION,
            description = "With --map: by this metadata context (default: base:allocation).")
    private String context = "";

    @Option(names = "--tls-certificates", paramLabel = "DIR", description = "For a URI with nbds that names none.")
    private @Nullable Path certificates;

    @Option(names = "--json", description = "As JSON: an object; with --map an array of extents.")
    private boolean json;

    NbdInfoCommand(Screen screen) {
        this.screen = screen;
    }

    /**
     * A range and what a context says of it.
     *
     * @param status the number, whose meaning is the context's
     */
    record Range(long offset, long length, int status, String meaning) {}

    @Override
    public Integer call() throws Exception {
        if (map && list) {
            throw Problems.wrongUsage("--map is of one export, --list of all; choose one");
        }
        NbdUri parsed = NbdUri.parse(uri);
        ClientSettings settings = ClientSettings.DEFAULT.withTlsCertificates(certificates);
        try (DataPlane plane = NbdCommands.plane()) {
            if (map) {
                return map(plane.loops().getFirst(), parsed, settings);
            }
            NbdInfo info = list
                    ? NbdInfo.list(plane.listening(), parsed, settings)
                    : NbdInfo.ask(plane.listening(), parsed, settings);
            if (json) {
                screen.json(info);
                return Ferry.DONE;
            }
            info.exports().forEach(this::print);
            screen.print("server: " + (info.fixedNewstyle() ? "fixed newstyle" : "newstyle")
                    + (info.structuredReplies() ? ", structured replies" : "")
                    + (info.extendedHeaders() ? ", extended headers" : "")
                    + (info.tls() ? ", TLS" : ""));
        }
        return Ferry.DONE;
    }

    private void print(ExportReport export) {
        String name = export.name().isEmpty() ? "(default)" : export.name();
        screen.print(
                "export " + screen.bold(name) + (export.description().isEmpty() ? "" : ": " + export.description()));
        screen.print("  size      " + Quantities.size(export.sizeBytes()) + " (" + export.sizeBytes() + " bytes)");
        screen.print("  flags     " + flags(export.transmissionFlags()));
        if (export.minimumBlockBytes() > 0) {
            screen.print("  blocks    " + export.minimumBlockBytes() + " to "
                    + Quantities.size(export.maximumPayloadBytes()) + ", best "
                    + Quantities.size(export.preferredBlockBytes()));
        }
        List<String> contexts = export.contexts();
        if (!contexts.isEmpty()) {
            screen.print("  contexts  " + String.join(", ", contexts));
        }
    }

    private static String flags(int flags) {
        List<String> names = new ArrayList<>();
        FLAGS.forEach((flag, name) -> {
            if ((flags & flag) != 0) {
                names.add(name);
            }
        });
        return names.isEmpty() ? "none" : String.join(" ", names);
    }

    // ---- the map

    private int map(DiskLoop loop, NbdUri parsed, ClientSettings settings) throws BlockException {
        NbdClientDevice device = NbdClientDevice.open(loop.events(), parsed, settings.withContexts(List.of(context)));
        List<Range> ranges = new ArrayList<>();
        long sizeBytes = device.geometry().sizeBytes();
        long[] known = {0};
        while (known[0] < sizeBytes) {
            long from = known[0];
            OnLoop.await(
                    loop.loop(),
                    done -> device.status(
                            context,
                            from,
                            sizeBytes - from,
                            (offset, length, status) -> {
                                add(ranges, offset, length, status);
                                known[0] = offset + length;
                            },
                            done));
        }
        OnLoop.await(loop.loop(), device::close);
        if (json) {
            screen.json(ranges);
        } else {
            ranges.forEach(range -> screen.print(
                    String.format("%14d %14d %4d  %s", range.offset, range.length, range.status, range.meaning)));
        }
        return Ferry.DONE;
    }

    /** Neighbours that are the same are one. */
    private void add(List<Range> ranges, long offset, long length, int status) {
        Range last = ranges.isEmpty() ? null : ranges.getLast();
        if (last != null && last.status == status && last.offset + last.length == offset) {
            ranges.removeLast();
            ranges.add(new Range(last.offset, last.length + length, status, last.meaning));
        } else {
            ranges.add(new Range(offset, length, status, meaning(status)));
        }
    }

    private String meaning(int status) {
        if (context.equals(Nbd.BASE_ALLOCATION)) {
            return switch (status) {
                case 0 -> "data";
                case 1 -> "hole";
                case 2 -> "zero";
                default -> "hole,zero";
            };
        }
        if (context.equals(Nbd.ALLOCATION_DEPTH)) {
            return status == 0 ? "unallocated" : status == 1 ? "local" : "backing";
        }
        if (context.startsWith(Nbd.DIRTY_BITMAP)) {
            return (status & 1) != 0 ? "dirty" : "clean";
        }
        return "";
    }
}
