package dev.ferry.cli.demo;

import dev.ferry.cli.Screen;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;

/** {@code ferry demo}. */
@Command(name = "demo", description = "Demonstrates.")
public final class DemoCommand implements Callable<Integer> {
    private final Screen screen;

    public DemoCommand(Screen screen) {
        this.screen = screen;
    }

    @Override
    public Integer call() {
        screen.print("x");
        return 0;
    }
}
