package dev.ferry.cli;

import com.fasterxml.jackson.annotation.JsonProperty;
import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ExtentSink;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.qcow2.Qcow2Measure;
import dev.ferry.image.sparse.GrainMeasure;
import dev.ferry.image.vhd.VhdCreator;
import dev.ferry.image.vhdx.VhdxCreator;
import dev.ferry.image.vmdk.VmdkKind;
import dev.ferry.image.vmdk.VmdkMeasure;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.OnLoop;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry image measure}. Fields of JSON are named as qemu-img names them. */
@Command(
        name = "measure",
        description = {
            "Tells how long the file of an image gets before it is made, or its files are together: with what another disk",
            "holds, and when every block of it has been written."
        },
        footer = {
            "",
            "Examples:",
            "  ferry image measure vm1.raw --format qcow2",
            "  ferry image measure vm1.raw --format vmdk --subformat twoGbMaxExtentSparse",
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

    private MeasureView empty(ImageFormat format) throws ProblemException, BlockException {
        long size = sizeBytes == null ? 0 : sizeBytes;
        if (size <= 0) {
            throw Problems.wrongUsage("a disk has at least one byte");
        }
        return measure(format, size).view();
    }

    private MeasureView of(Path source, ImageFormat format) throws ProblemException, BlockException {
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            BlockDevice disk =
                    ImageCommands.open(loop, source, ImageCommands.chosen(loop, source, fromFormat, "--from-format"));
            try {
                Measure measure = measure(format, disk.geometry().sizeBytes());
                tell(loop, disk, measure.sink());
                return measure.view();
            } finally {
                OnLoop.await(loop.loop(), disk::close);
            }
        }
    }

    /** How long the files of an image get: told of what it is to hold, and then asked. */
    private record Measure(ExtentSink sink, LongSupplier required, LongSupplier fullyAllocated) {
        MeasureView view() {
            return new MeasureView(required.getAsLong(), fullyAllocated.getAsLong());
        }

        static Measure of(GrainMeasure grains) {
            return new Measure(grains, grains::requiredBytes, grains::fullyAllocatedBytes);
        }
    }

    private Measure measure(ImageFormat format, long size) throws ProblemException, BlockException {
        long whole = format.paddedBytes(size);
        return switch (format) {
            // As long as its disk, whatever of it is holes.
            case RAW -> Measure.of(GrainMeasure.fixed(size));
            case QCOW2 -> {
                Qcow2Measure clusters = new Qcow2Measure(size, wanted.qcow2());
                LongSupplier full = clusters::fullyAllocatedBytes;
                yield new Measure(clusters, wanted.preallocation().ofData() ? full : clusters::requiredBytes, full);
            }
            case VMDK -> {
                if (wanted.vmdkKind() == VmdkKind.STREAM_OPTIMIZED) {
                    throw Problems.wrongUsage("how far a streamOptimized image is compressed is not known before");
                }
                yield Measure.of(VmdkMeasure.of(whole, wanted.vmdkKind()));
            }
            case VHD -> Measure.of(VhdCreator.measure(whole, wanted.vhdKind()));
            case VHDX -> Measure.of(VhdxCreator.measure(whole, wanted.vhdxKind()));
        };
    }

    private static void tell(DiskLoop loop, BlockDevice disk, ExtentSink sink) throws BlockException {
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
                                sink.extent(offset, length, state);
                                told[0] = offset + length;
                            },
                            end));
        }
    }
}
