package dev.ferry.cli;

import java.lang.reflect.InvocationTargetException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Unmatched;

/**
 * {@code ferry bench}: the measurements are a room above this one, with a main class and help of their own. The script
 * {@code ferry} starts that at once; this stands for it in the list of commands, and hands over to it.
 */
@Command(
        name = "bench",
        description = "Measures Ferry beside its peers, in the same run.",
        footer = {"", "Example:", "  ferry bench nbd --dir /dev/shm --rounds 3", "", "See bench/README.md."})
final class BenchCommand implements Callable<Integer> {
    private static final String MAIN = "dev.ferry.bench.Bench";

    private final Screen screen;

    @Unmatched
    private List<String> arguments = new ArrayList<>();

    BenchCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() throws IllegalAccessException {
        try {
            Class.forName(MAIN).getMethod("main", String[].class).invoke(null, (Object)
                    arguments.toArray(String[]::new));
            return Ferry.DONE;
        } catch (ClassNotFoundException | NoSuchMethodException missing) {
            screen.error("this ferry was installed without its measurements; start it from its source tree");
        } catch (InvocationTargetException failed) {
            screen.error("the measurements failed: " + failed.getCause());
        }
        return Ferry.FAILED;
    }
}
