package dev.ferry.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * How this program starts itself again, as another process: the same Java, the same jars, and options that suit the
 * process's part. {@code ferry.java} and {@code ferry.home} may say which Java and where the installation is.
 */
public final class Self {
    /** What a process is for. */
    public enum Part {
        /** Holds sockets and waits: hardly any heap, and no time for a second compiler. */
        SUPERVISOR,
        /** Serves disks. */
        DAEMON
    }

    private static List<String> options(Part part) {
        return switch (part) {
            case SUPERVISOR -> List.of("-Xms4m", "-Xmx16m", "-XX:TieredStopAtLevel=1");
            case DAEMON -> List.of("-Xms16m", "-Xmx256m", "-XX:+ExitOnOutOfMemoryError");
        };
    }

    private Self() {}

    /** The command that runs {@code ferry ARGUMENTS...}. */
    public static List<String> command(Part part, List<String> arguments) {
        Path standard = Path.of(System.getProperty("java.home"), "bin", "java");
        List<String> command = new ArrayList<>();
        command.add(System.getProperty("ferry.java", standard.toString()));
        command.add("-XX:+UseSerialGC");
        command.add("-XX:-UsePerfData");
        command.add("-Xlog:disable");
        command.add("-Xlog:all=error:stderr");
        command.addAll(options(part));
        command.add("--enable-native-access=ALL-UNNAMED");
        String home = System.getProperty("ferry.home");
        if (home != null) {
            command.add("-Dferry.home=" + home);
            Path cache = Path.of(home, "ferry.aot");
            if (Files.exists(cache)) {
                command.add("-XX:AOTCache=" + cache);
            }
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Ferry.class.getName()));
        command.addAll(arguments);
        return command;
    }
}
