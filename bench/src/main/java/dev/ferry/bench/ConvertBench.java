package dev.ferry.bench;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.Callable;

/**
 * Converts a disk from one format to another, by Ferry and by qemu-img convert. The disk is a quarter hole, half text made of
 * a few thousand words, and a quarter noise. Sources are in the page cache; the time is that of the whole command, its start
 * included, and none of them is asked to flush.
 */
final class ConvertBench implements Callable<Report> {
    private static final long SIZE = 1L << 30;
    private static final int CHUNK = 1 << 20;
    private static final int WORDS = 4000;
    private static final long SEED = 3;

    /** A way from one format to another; {@code compress} null: as it is. */
    private record Pair(String from, String to, String compress, double ratioMax) {
        String text() {
            return from + " to " + to + (compress.isEmpty() ? "" : ", " + compress);
        }
    }

    private static final List<Pair> PAIRS = List.of(
            new Pair("raw", "qcow2", "", 1),
            new Pair("qcow2", "raw", "", 1),
            new Pair("vmdk", "qcow2", "", 1),
            new Pair("raw", "qcow2", "zlib", 1 / 1.5),
            new Pair("raw", "qcow2", "zstd", 1 / 1.5));

    private final BenchOptions options;
    private final Report report = new Report();

    ConvertBench(BenchOptions options) {
        this.options = options;
    }

    @Override
    public Report call() throws IOException {
        for (Path directory : options.directories()) {
            try (Workspace workspace = Workspace.below(directory)) {
                Path raw = disk(workspace.path("source.raw"), options.sizeBytes(SIZE));
                for (String format : List.of("qcow2", "vmdk")) {
                    Path source = workspace.path("source." + format);
                    Program.run(
                            workspace.directory(),
                            List.of("qemu-img", "convert", "-f", "raw", "-O", format, raw + "", source + ""));
                }
                for (Pair pair : PAIRS) {
                    measure(workspace, pair);
                }
            }
        }
        return report;
    }

    private static Path disk(Path path, long sizeBytes) throws IOException {
        Random random = new Random(SEED);
        List<String> words = new ArrayList<>();
        for (int i = 0; i < WORDS; i++) {
            StringBuilder word = new StringBuilder();
            for (int letters = 2 + random.nextInt(8); letters > 0; letters--) {
                word.append("etaoinshrdlucmf".charAt(random.nextInt(15)));
            }
            words.add(word.append(' ').toString());
        }
        byte[] bytes = new byte[CHUNK];
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            for (long at = 0; at < sizeBytes; at += CHUNK) {
                int kind = (int) (at / CHUNK / 16 % 4);
                if (kind == 3) {
                    random.nextBytes(bytes);
                } else if (kind > 0) {
                    StringBuilder text = new StringBuilder(CHUNK + WORDS);
                    while (text.length() < CHUNK) {
                        text.append(words.get(random.nextInt(WORDS)));
                    }
                    text.setLength(CHUNK);
                    bytes = text.toString().getBytes(StandardCharsets.US_ASCII);
                }
                ByteBuffer chunk = ByteBuffer.wrap(bytes, 0, (int) Math.min(CHUNK, sizeBytes - at));
                long to = at;
                while (kind > 0 && chunk.hasRemaining()) {
                    to += channel.write(chunk, to);
                }
            }
            if (channel.size() < sizeBytes) {
                channel.write(ByteBuffer.allocate(1), sizeBytes - 1);
            }
            channel.force(true);
        }
        return path;
    }

    private void measure(Workspace workspace, Pair pair) throws IOException {
        String source = workspace.path("source." + pair.from()).toString();
        Path target = workspace.path("target." + pair.to());
        List<String> ours = new ArrayList<>(List.of(options.ferry(), "image", "convert", source, target.toString()));
        ours.addAll(List.of("--from-format", pair.from(), "--format", pair.to()));
        List<String> theirs = new ArrayList<>(List.of("qemu-img", "convert", "-f", pair.from(), "-O", pair.to()));
        if (!pair.compress().isEmpty()) {
            ours.addAll(List.of("--compress", pair.compress()));
            theirs.addAll(List.of("-c", "-W", "-o", "compression_type=" + pair.compress()));
        }
        theirs.addAll(List.of(source, target.toString()));
        double[][] seconds = new double[2][options.rounds()];
        long[] bytes = new long[2];
        // Round 0 warms up and does not count.
        for (int round = 0; round <= options.rounds(); round++) {
            for (int turn = 0; turn < 2; turn++) {
                int who = (round + turn) % 2;
                Files.deleteIfExists(target);
                Program.run(workspace.directory(), List.of("sync"));
                long begin = System.nanoTime();
                Program.run(workspace.directory(), who == 0 ? ours : theirs);
                if (round > 0) {
                    seconds[who][round - 1] = (System.nanoTime() - begin) / 1e9;
                }
                bytes[who] = Files.size(target);
            }
            if (round > 0) {
                options.progress(String.format(
                        Locale.ROOT,
                        "%s %s, round %d:  ferry %.2f s, %d MiB  qemu-img %.2f s, %d MiB",
                        workspace.fileSystem(),
                        pair.text(),
                        round,
                        seconds[0][round - 1],
                        bytes[0] >> 20,
                        seconds[1][round - 1],
                        bytes[1] >> 20));
            }
        }
        Files.deleteIfExists(target);
        double[] ratios = new double[options.rounds()];
        for (int round = 0; round < ratios.length; round++) {
            ratios[round] = seconds[0][round] / seconds[1][round];
        }
        report.add(new Comparison(
                workspace.fileSystem(),
                "convert " + pair.text(),
                "time s",
                Median.of(seconds[0]),
                "qemu-img",
                Median.of(seconds[1]),
                Median.of(ratios),
                new Goal.AtMost(pair.ratioMax())));
    }
}
