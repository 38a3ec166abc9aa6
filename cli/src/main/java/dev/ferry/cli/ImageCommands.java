package dev.ferry.cli;

import dev.ferry.block.BlockDevice;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.Provisioning;
import dev.ferry.server.DataPlane;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import dev.ferry.stack.DiskLoop;
import dev.ferry.stack.DiskSpec;
import dev.ferry.stack.Images;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;

/** {@code ferry image}: one-shot tools for image files that nobody has open. */
@Command(
        name = "image",
        description = {
            "One-shot tools for files of virtual disks; they need no daemon.",
            "No format is guessed: one that is not said is raw, and a file that does not look raw is refused then."
        },
        synopsisSubcommandLabel = "COMMAND")
final class ImageCommands {
    private ImageCommands() {}

    static CommandLine of(Screen screen, @Nullable String meant) {
        return new CommandGroup(new ImageCommands())
                .with("create", () -> new ImageMakingCommands.Create(screen))
                .with("convert", () -> new ImageConvertCommand(screen))
                .with("info", () -> new ImageLookingCommands.Info(screen))
                .with("check", () -> new ImageLookingCommands.Check(screen))
                .with("compare", () -> new ImageCompareCommand(screen))
                .with("measure", () -> new ImageMeasureCommand(screen))
                .with("resize", () -> new ImageChangingCommands.Resize(screen))
                .with("snapshot", () -> new ImageChangingCommands.Snapshot(screen))
                .with("commit", () -> new ImageCommitCommand(screen))
                .with("map", () -> new ImageLookingCommands.Map(screen))
                .line(meant);
    }

    static ImageFormat format(String text) throws ProblemException {
        return ImageFormat.of(text)
                .orElseThrow(() ->
                        Problems.wrongUsage("there is no format '" + text + "'; there are " + ImageFormat.list()));
    }

    static DiskSpec spec(Path file, ImageFormat format, boolean readOnly) {
        Path absolute = file.toAbsolutePath().normalize();
        return new DiskSpec(file.toString(), absolute, Provisioning.THIN, readOnly, false, format);
    }

    /** The format that was said; where none was, raw, if that is believable. */
    static ImageFormat chosen(DiskLoop loop, Path file, @Nullable String said, String option)
            throws ProblemException, BlockException {
        if (said != null) {
            return format(said);
        }
        ImageFormat looks = Images.probe(loop, spec(file, ImageFormat.RAW, true), DataPlane.FILES);
        if (looks != ImageFormat.RAW) {
            throw Problems.wrongUsage(file + " looks like " + looks.text() + ": say " + option + " " + looks.text()
                    + ", or " + option + " raw if it is a raw disk whose guest made it look so");
        }
        return looks;
    }

    /** Opens a file as a disk to be read. */
    static BlockDevice open(DiskLoop loop, Path file, ImageFormat format) throws BlockException {
        return Images.open(loop, spec(file, format, true), DataPlane.FILES);
    }

    /** Text out of a file, as a terminal may have it. */
    static String printable(String text) {
        return text.replaceAll("[^ -~]", "?");
    }

    /** True for an error that says the thing is damaged, and not that it could not be looked at. */
    static boolean damaged(BlockException failed) {
        return failed.kind() == ErrorKind.CORRUPT;
    }
}
