package dev.ferry.cli;

import dev.ferry.reactor.Linux;
import dev.ferry.server.api.ProblemException;
import dev.ferry.server.api.ProblemKind;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;

/**
 * The command line. Exit status: 0 done, 1 failed, 2 wrong usage. An error is one line on standard error that says what,
 * why, and what to do.
 *
 * <p>Only the command that is meant is loaded, so that each starts quickly.
 */
@Command(
        name = "ferry",
        description = "Moves the disks of running virtual machines, and the guests do not notice.",
        synopsisSubcommandLabel = "COMMAND",
        footer = {
            "",
            "Begin with:  ferry demo",
            "Each command explains itself:  ferry COMMAND --help",
            "Sizes read 10G, 512M; rates 200M (per second). Exit status: 0 done, 1 failed, 2 wrong usage.",
            "Commands find the daemon through its data directory: --data DIR, or FERRY_DATA."
        })
public final class Ferry {
    static final int DONE = 0;
    static final int FAILED = 1;
    static final int WRONG_USAGE = 2;

    /** Work in this process: what they need of the kernel is prepared while the command line is read. */
    private static final Set<String> TOOLS = Set.of("nbd", "image");

    @CommandLine.Option(
            names = {"-V", "--version"},
            description = "Tells the version.")
    private boolean version;

    private Ferry() {}

    public static void main(String[] arguments) {
        if (arguments.length == 1 && (arguments[0].equals("--version") || arguments[0].equals("-V"))) {
            System.out.println(versionLine());
            System.exit(DONE);
        }
        System.setProperty("picocli.disable.closures", "true"); // it would look for Groovy in every jar
        if (arguments.length > 1 && TOOLS.contains(arguments[0])) {
            Thread.ofPlatform().daemon().name("ferry-prepare").start(() -> Linux.prepare(endsByItself(arguments)));
        }
        Screen screen = Screen.ofProcess();
        int status = run(screen, arguments);
        if (!endsByItself(arguments)) {
            System.exit(status);
        }
        screen.out().flush();
        screen.err().flush();
        Runtime.getRuntime().halt(status);
    }

    /**
     * Whether nothing is left to do when the command has returned: {@code exit} would run no hook, and look through every jar
     * for somebody who wants to log that it was called.
     */
    private static boolean endsByItself(String... arguments) {
        return arguments.length > 1 && TOOLS.contains(arguments[0]) && !arguments[1].equals("serve");
    }

    static String versionLine() {
        @Nullable String version = Ferry.class.getPackage().getImplementationVersion();
        return "ferry " + (version == null ? "0.1.0" : version);
    }

    /** Runs one command in this process. */
    static int run(Screen screen, String... arguments) {
        CommandLine line = new CommandLine(new Ferry());
        boolean known =
                arguments.length > 0 && add(line, arguments[0], arguments.length > 1 ? arguments[1] : null, screen);
        if (!known) {
            for (String name : Commands.NAMES) {
                add(line, name, null, screen);
            }
        }
        helpEverywhere(line);
        line.setOut(new PrintWriter(screen.out(), true, StandardCharsets.UTF_8));
        line.setErr(new PrintWriter(screen.err(), true, StandardCharsets.UTF_8));
        line.setColorScheme(CommandLine.Help.defaultColorScheme(screen.colour() ? Ansi.ON : Ansi.OFF));
        line.setCaseInsensitiveEnumValuesAllowed(true);
        line.setUsageHelpAutoWidth(false);
        line.setUsageHelpWidth(100);
        line.setParameterExceptionHandler((problem, _) -> wrongUsage(screen, problem));
        line.setExecutionExceptionHandler((problem, _, _) -> failed(screen, problem));
        line.setExecutionStrategy(parsed -> {
            CommandLine.ParseResult last = deepest(parsed);
            if (last.isUsageHelpRequested()) {
                last.commandSpec().commandLine().usage(screen.out());
                return DONE;
            }
            Object command = last.commandSpec().userObject();
            if (command instanceof Ferry root) {
                return root.alone(last.commandSpec().commandLine(), screen);
            }
            if (!(command instanceof Runnable) && !(command instanceof Callable<?>)) {
                throw new ParameterException(last.commandSpec().commandLine(), "a command is missing");
            }
            return new CommandLine.RunLast().execute(parsed);
        });
        return line.execute(arguments);
    }

    private static void helpEverywhere(CommandLine line) {
        line.getCommandSpec()
                .addOption(OptionSpec.builder("-h", "--help")
                        .usageHelp(true)
                        .description("Explains this command.")
                        .build());
        line.getSubcommands().values().forEach(Ferry::helpEverywhere);
    }

    private static boolean add(CommandLine line, String name, @Nullable String meant, Screen screen) {
        Object command = Commands.create(name, meant, screen);
        if (command == null) {
            return false;
        }
        line.addSubcommand(name, command);
        return true;
    }

    private int alone(CommandLine line, Screen screen) {
        if (version) {
            screen.print(versionLine());
        } else {
            line.usage(screen.out());
        }
        return DONE;
    }

    private static CommandLine.ParseResult deepest(CommandLine.ParseResult parsed) {
        CommandLine.ParseResult last = parsed;
        while (last.hasSubcommand()) {
            last = last.subcommand();
        }
        return last;
    }

    private static int wrongUsage(Screen screen, ParameterException problem) {
        String name = problem.getCommandLine().getCommandSpec().qualifiedName();
        screen.error(oneLine(problem.getMessage()) + "; see '" + name + " --help'");
        return WRONG_USAGE;
    }

    private static int failed(Screen screen, Exception problem) {
        if (Ending.hasBegun()) {
            Ending.await();
        }
        switch (problem) {
            case ProblemException refused -> {
                screen.error(oneLine(refused.getMessage()));
                return refused.kind() == ProblemKind.WRONG_USAGE ? WRONG_USAGE : FAILED;
            }
            case IOException failed -> screen.error(oneLine(failed.getMessage()));
            case InterruptedException _ -> screen.error("interrupted");
            default -> screen.error("this is a defect of ferry, please report it: " + defect(problem));
        }
        return FAILED;
    }

    /** What went wrong first, and where. */
    private static String defect(Throwable problem) {
        Throwable first = problem;
        while (first.getCause() != null) {
            first = first.getCause();
        }
        StackTraceElement[] trace = first.getStackTrace();
        return first.getClass().getSimpleName()
                + (first.getMessage() == null ? "" : " (" + oneLine(first.getMessage()) + ")")
                + (trace.length == 0 ? "" : " in " + trace[0].getFileName() + ":" + trace[0].getLineNumber());
    }

    private static String oneLine(@Nullable String message) {
        return message == null ? "no reason was given" : message.strip().replaceAll("\\s*\\R\\s*", " ");
    }
}
