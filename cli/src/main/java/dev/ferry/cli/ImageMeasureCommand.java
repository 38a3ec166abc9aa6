package dev.ferry.cli;

import com.fasterxml.jackson.annotation.JsonProperty;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Measure;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image measure}. Fields of JSON are named as qemu-img names them. */
@Command(
        name = "measure",
        description = {
            "Tells how much room an image takes in a file before it is made: with what another disk holds,",
            "and when every block of it has been written. Of raw and qcow2 images."
        },
        footer = {
            "",
            "Examples:",
            "  ferry image measure vm1.raw --format qcow2",
            "  ferry image measure --size 100G --format qcow2 --cluster-size 1M"
        })
final class ImageMeasureCommand implements Callable<Integer> {
    private final Screen screen;

    @Parameters(arity = "0..1", paramLabel = "FILE", description = "The disk that is to be held.")
    private @Nullable Path file;

    @Option(
            names = "--from-format",
            paramLabel = "F",
            description = "Of FILE: raw (default), qcow2, vmdk, vhd or vhdx.")
    private @Nullable String fromFormat;

    @Option(
            names = "--size",
            paramLabel = "S",
            converter = Quantities.Size.class,
            description = "In place of FILE: the size of a disk that holds nothing.")
    private @Nullable Long sizeBytes;

    @Mixin
    private final NewImageOptions wanted = new NewImageOptions();

    @Option(names = "--json", description = "As JSON: an object.")
    private boolean json;

    ImageMeasureCommand(Screen screen) {
        this.screen = screen;
    }

    /** Bytes of a file. */
    private record MeasureView(
            long required, @JsonProperty("fully-allocated") long fullyAllocated) {}

    @Override
    public Integer call() throws Exception {
        ImageFormat format = wanted.checked();
        if (format != ImageFormat.RAW && format != ImageFormat.QCOW2) {
            throw Problems.wrongUsage("raw and qcow2 images are measured, and not " + format.text());
        }
        if (wanted.qcow2().dataName() != null) {
            throw Problems.wrongUsage("what is in a data file takes its room there; leave --data-file out");
        }
        if ((file == null) == (sizeBytes == null) || (file == null && fromFormat != null)) {
            throw Problems.wrongUsage("say either FILE, with --from-format if it is not raw, or --size");
        }
        MeasureView view = file == null ? empty(format) : of(file, format);
        if (json) {
            screen.json(view);
        } else {
            screen.print("required         " + said(view.required()));
            screen.print("fully allocated  " + said(view.fullyAllocated()));
        }
        return Ferry.DONE;
    }

    private static String said(long bytes) {
        return Quantities.size(bytes) + " (" + bytes + " bytes)";
    }

    private MeasureView empty(ImageFormat format) throws ProblemException {
        long size = sizeBytes == null ? 0 : sizeBytes;
        if (size <= 0) {
            throw Problems.wrongUsage("a disk has at least one byte");
        }
        return view(format, size, new Qcow2Measure(size, wanted.qcow2()));
    }

    private MeasureView of(Path source, ImageFormat format) throws ProblemException, BlockException {
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            BlockDevice disk =
                    ImageCommands.open(loop, source, ImageCommands.chosen(loop, source, fromFormat, "--from-format"));
            try {
                long size = disk.geometry().sizeBytes();
                Qcow2Measure measure = new Qcow2Measure(size, wanted.qcow2());
                if (format == ImageFormat.QCOW2) {
                    tell(loop, disk, measure);
                }
                return view(format, size, measure);
            } finally {
                OnLoop.await(loop.loop(), disk::close);
            }
        }
    }

    /** A raw file is as long as its disk, whatever of it is holes. */
    private MeasureView view(ImageFormat format, long size, Qcow2Measure measure) {
        if (format == ImageFormat.RAW) {
            return new MeasureView(size, size);
        }
        long full = measure.fullyAllocatedBytes();
        return new MeasureView(wanted.preallocation().ofData() ? full : measure.requiredBytes(), full);
    }

    private static void tell(DiskLoop loop, BlockDevice disk, Qcow2Measure measure) throws BlockException {
        long size = disk.geometry().sizeBytes();
        long[] told = new long[1];
        while (told[0] < size) {
            long from = told[0];
            OnLoop.await(
                    loop.loop(),
                    end -> disk.extents(
                            from,
                            size - from,
                            (offset, length, state) -> {
                                measure.extent(offset, length, state);
                                told[0] = offset + length;
                            },
                            end));
        }
    }
}
