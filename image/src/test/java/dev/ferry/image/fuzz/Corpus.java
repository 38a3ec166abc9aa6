package dev.ferry.image.fuzz;

import dev.ferry.block.BlockException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Writes what a fuzzer begins with: {@code Corpus TARGET DIRECTORY}. */
public final class Corpus {
    private Corpus() {}

    public static void main(String... arguments) throws IOException, BlockException {
        List<byte[]> all = switch (arguments[0]) {
            case "Qcow2Fuzz" -> Qcow2Fuzz.corpus();
            case "VmdkFuzz" -> VmdkFuzz.corpus();
            case "VhdFuzz" -> VhdFuzz.corpus();
            case "VhdxFuzz" -> VhdxFuzz.corpus();
            case "ApplianceFuzz" -> ApplianceFuzz.corpus();
            default -> throw new IllegalArgumentException("no target " + arguments[0]);
        };
        Path folder = Files.createDirectories(Path.of(arguments[1]));
        for (int i = 0; i < all.size(); i++) {
            Files.write(folder.resolve("seed-" + i), all.get(i));
        }
    }
}
