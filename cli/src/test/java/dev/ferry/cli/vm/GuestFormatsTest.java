package dev.ferry.cli.vm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.ferry.cli.FerryHost;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A guest boots from a disk in each format and works on it while it is converted to another one. Here every format is booted from,
 * converted from and converted to once; {@code ./trial guests} does every pair.
 */
@Tag("slow")
@Tag("alone")
@Timeout(600)
final class GuestFormatsTest {
    @Test
    void aGuestBootsFromEachFormatAndItsDiskIsConvertedUnderIt(@TempDir Path directory) throws Exception {
        BootDisk.require();
        Path image = BootDisk.make(directory);
        // Two at once: each emulates one processor.
        try (FerryHost host = FerryHost.started();
                ExecutorService both = Executors.newVirtualThreadPerTaskExecutor()) {
            Future<Boolean> first = both.submit(() -> {
                GuestTour tour = new GuestTour(host, "one", image, Files.createDirectory(directory.resolve("one")));
                tour.boot(List.of("qcow2"));
                tour.boot(List.of("vmdk"));
                tour.boot(List.of("vhd"));
                return true;
            });
            Future<Boolean> second = both.submit(() -> {
                GuestTour tour = new GuestTour(host, "two", image, Files.createDirectory(directory.resolve("two")));
                tour.convert("vhd");
                tour.boot(List.of("vhdx"));
                tour.boot(List.of("raw"));
                tour.bootFromFlatVmdk();
                return true;
            });
            assertThat(first.get()).isTrue();
            assertThat(second.get()).isTrue();
        }
    }
}
