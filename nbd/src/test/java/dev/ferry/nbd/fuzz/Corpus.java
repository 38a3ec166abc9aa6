package dev.ferry.nbd.fuzz;

import dev.ferry.nbd.server.TransmissionFuzz;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Writes what a fuzzer begins with: {@code Corpus TARGET DIRECTORY}. */
public final class Corpus {
    private Corpus() {}

    public static void main(String... arguments) throws IOException {
        List<byte[]> all = switch (arguments[0]) {
            case "ServerHandshakeFuzz" -> ServerHandshakeFuzz.corpus();
            case "ClientHandshakeFuzz" -> ClientHandshakeFuzz.corpus();
            case "UriFuzz" -> UriFuzz.corpus();
            case "TransmissionFuzz" -> TransmissionFuzz.corpus();
            default -> throw new IllegalArgumentException("no target " + arguments[0]);
        };
        Path folder = Files.createDirectories(Path.of(arguments[1]));
        for (int i = 0; i < all.size(); i++) {
            Files.write(folder.resolve("seed-" + i), all.get(i));
        }
    }
}
