package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.CheckedDevice;
import dev.ferry.block.ErrorKind;
import dev.ferry.device.FileCopy;
import dev.ferry.image.Provisioning;
import dev.ferry.nbd.client.ClientSettings;
import dev.ferry.nbd.client.NbdClientDevice;
import dev.ferry.nbd.client.NbdUri;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Transfer;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.OnLoop;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code ferry nbd copy}: the bytes of one disk to another; each is a file or an NBD export. */
@Command(
        name = "copy",
        description = {
            "Copies a disk that nobody changes meanwhile.",
            "Holes and zeroes are not copied. A target that is a file is made, or made over; an export has to",
            "be large enough."
        },
        footer = {
            "",
            "Examples:",
            "  ferry nbd copy nbd://host/vm1 vm1.raw",
            "  ferry nbd copy vm1.raw 'nbd+unix:///vm1?socket=/run/ferry/nbd.sock'"
        })
final class NbdCopyCommand implements Callable<Integer> {
    private static final double NANOS_PER_SECOND = 1e9;

    private final Screen screen;

    @Parameters(index = "0", paramLabel = "SOURCE", description = "A file or an NBD URI.")
    private String source = "";

    @Parameters(index = "1", paramLabel = "TARGET", description = "A file or an NBD URI.")
    private String target = "";

    @Option(names = "--direct", description = "Files past the page cache (O_DIRECT).")
    private boolean direct;

    @Option(names = "--flush", description = "Returns when the copy of a file to a file is durable. Others always are.")
    private boolean flush;

    NbdCopyCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws Exception {
        long beganNanos = System.nanoTime();
        if (!direct && !NbdUri.looksLikeOne(source) && !NbdUri.looksLikeOne(target)) {
            Path from = Path.of(source);
            if (Files.isRegularFile(from) && makeFile(Path.of(target), 0)) {
                FileCopy.run(from, Path.of(target), flush, _ -> {});
                report(Files.size(from), beganNanos);
                return Ferry.DONE;
            }
        }
        try (DataPlane plane = NbdCommands.plane()) {
            DiskLoop loop = plane.loops().getFirst();
            BlockDevice from = open(loop, source, true);
            long sizeBytes = from.geometry().sizeBytes();
            boolean fresh = !NbdUri.looksLikeOne(target) && makeFile(Path.of(target), sizeBytes);
            BlockDevice to = open(loop, target, false);
            if (to.geometry().sizeBytes() < sizeBytes) {
                throw BlockError.of(
                                ErrorKind.INVALID,
                                target,
                                "copy",
                                "it holds " + to.geometry().sizeBytes() + " bytes, the source has " + sizeBytes)
                        .toException();
            }
            new Transfer(loop.loop(), from, to, fresh).run();
            OnLoop.await(loop.loop(), to::close);
            OnLoop.await(loop.loop(), from::close);
            report(sizeBytes, beganNanos);
        }
        return Ferry.DONE;
    }

    private void report(long sizeBytes, long beganNanos) {
        double seconds = (System.nanoTime() - beganNanos) / NANOS_PER_SECOND;
        screen.print(String.format(Locale.ROOT, "%s in %.1f s", Quantities.size(sizeBytes), seconds));
    }

    private BlockDevice open(DiskLoop loop, String text, boolean readOnly) throws BlockException {
        BlockDevice device;
        if (NbdUri.looksLikeOne(text)) {
            device = NbdClientDevice.open(loop.events(), NbdUri.parse(text), ClientSettings.DEFAULT);
        } else {
            Path path = Path.of(text).toAbsolutePath().normalize();
            device = DataPlane.FILES.open(loop, new DiskSpec(text, path, Provisioning.THIN, readOnly, direct));
        }
        return CheckedDevice.of(device, text);
    }

    /**
     * Makes the target file as long as the source, and empty.
     *
     * @return true if it is a file that reads as zeroes now; false for a block device
     */
    private boolean makeFile(Path path, long sizeBytes) throws IOException {
        if (Files.exists(path) && !Files.isRegularFile(path)) {
            return false;
        }
        if (!NbdUri.looksLikeOne(source) && Files.exists(path) && Files.isSameFile(path, Path.of(source))) {
            throw new IOException("source and target are the same file: " + path);
        }
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(0);
            file.setLength(sizeBytes);
        } catch (IOException failed) {
            throw new IOException("the target cannot be made: " + failed.getMessage(), failed);
        }
        return true;
    }
}
