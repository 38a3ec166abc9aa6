package dev.ferry.server.supervise;

import dev.ferry.reactor.Descriptors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CountDownLatch;

/** Stands for the daemon in the supervisor's test: it writes what happens to it into a file. */
final class SupervisedChild {
    private SupervisedChild() {}

    /** Arguments: the file to write to, and what to do: {@code serve}, {@code refuse}, {@code unready}. */
    public static void main(String[] arguments) throws Exception {
        Path log = Path.of(arguments[0]);
        if (arguments[1].equals("refuse")) {
            System.exit(2);
        }
        Keeper keeper = Keeper.ofEnvironment(System.getenv());
        int socket = keeper.take("nbd");
        if (socket < 0) {
            keeper.store("nbd", Descriptors.datagramSocket());
        }
        long pid = ProcessHandle.current().pid();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> write(log, pid + " stopped\n")));
        if (keeper.standby()) {
            keeper.standingBy();
        }
        write(
                log,
                pid + " " + (keeper.standby() ? "standby" : "started") + " " + (socket >= 0 ? "inherited" : "made")
                        + "\n");
        if (arguments[1].equals("serve")) {
            keeper.ready();
        } else {
            System.exit(9);
        }
        if (Files.exists(log.resolveSibling("restart")) && !keeper.standby()) {
            keeper.requestRestart();
        }
        new CountDownLatch(1).await();
    }

    private static void write(Path log, String line) {
        try {
            Files.writeString(log, line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }
}
