package dev.ferry.cli.vm;

import dev.ferry.cli.FerryHost;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/**
 * A guest boots from its disk in each format, and the disk is converted under it from each format to each other one, as a program:
 * {@code ./trial guests [ROUNDS]}.
 */
final class GuestTrial {
    private GuestTrial() {}

    public static void main(String[] arguments) throws Exception {
        int rounds = Integer.parseInt(arguments[0]);
        List<String> formats = GuestTour.FORMATS;
        for (int round = 1; round <= rounds; round++) {
            Path directory = Files.createTempDirectory("ferry-guests-");
            try (FerryHost host = FerryHost.started()) {
                GuestTour tour = new GuestTour(host, "machine", BootDisk.make(directory), directory);
                for (int first = 0; first < formats.size(); first++) {
                    tour.convert(formats.get(first));
                    List<String> way = way(formats, first);
                    long begin = System.nanoTime();
                    tour.boot(way);
                    System.out.printf(
                            Locale.ROOT,
                            "round %d: booted from %s, then %s while it worked: sound, in %.1f s%n",
                            round,
                            formats.get(first),
                            String.join(", ", way),
                            (System.nanoTime() - begin) / 1e9);
                }
                tour.bootFromFlatVmdk();
                System.out.printf(Locale.ROOT, "round %d: booted from a flat VMDK: sound%n", round);
            } finally {
                delete(directory);
            }
        }
    }

    /**
     * Steps of one, two, three and four places around the circle of formats: the ways from all of them together are each pair once. With
     * five formats each way ends where it began.
     */
    private static List<String> way(List<String> formats, int first) {
        List<String> way = new ArrayList<>();
        int at = first;
        for (int step = 1; step < formats.size(); step++) {
            at = (at + step) % formats.size();
            way.add(formats.get(at));
        }
        return way;
    }

    private static void delete(Path directory) throws IOException {
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
