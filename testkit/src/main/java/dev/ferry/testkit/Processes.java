package dev.ferry.testkit;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import org.junit.jupiter.api.Assertions;

/** What tests ask about processes that they did not start themselves. */
public final class Processes {
    private static final long POLL_MILLIS = 10;

    private Processes() {}

    /**
     * Fails if one of them still runs after {@code limit}. One whose own parent is gone stays in the system's table until init
     * has asked how it ended, which takes what it takes on a busy machine; it runs no more ({@link ProcessHandle#isAlive} says
     * that it does).
     */
    public static void assertEnded(Collection<ProcessHandle> processes, Duration limit) throws InterruptedException {
        long end = System.nanoTime() + limit.toNanos();
        List<ProcessHandle> running = running(processes);
        while (!running.isEmpty()) {
            if (System.nanoTime() - end > 0) {
                Assertions.fail("these still run: " + running);
            }
            Thread.sleep(POLL_MILLIS);
            running = running(running);
        }
    }

    private static List<ProcessHandle> running(Collection<ProcessHandle> processes) {
        return processes.stream()
                .filter(process -> process.isAlive() && !isZombie(process.pid()))
                .toList();
    }

    /** After proc_pid_stat(5): the state follows the name of the program, which stands in parentheses and may hold any. */
    private static boolean isZombie(long pid) {
        try {
            String stat = Files.readString(Path.of("/proc", Long.toString(pid), "stat"));
            return stat.startsWith("Z", stat.lastIndexOf(')') + 2);
        } catch (IOException gone) {
            return true;
        }
    }
}
