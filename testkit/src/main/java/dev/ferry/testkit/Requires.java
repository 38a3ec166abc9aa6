package dev.ferry.testkit;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Assumptions;

/** What a test needs from the machine. Missing, it skips the test by name; on CI it fails it. */
public final class Requires {
    /** Where programs of a system administrator are, which a plain user may run too. */
    private static final String ADMINISTRATION = ":/usr/sbin:/sbin";

    private Requires() {}

    /** Goes on if the program is on the path, or among the administrator's, and gives where. */
    public static Path program(String name) {
        String path = System.getenv("PATH");
        for (String directory : ((path == null ? "" : path) + ADMINISTRATION).split(":", -1)) {
            Path candidate = Path.of(directory, name);
            if (!directory.isEmpty() && Files.isExecutable(candidate)) {
                return candidate;
            }
        }
        throw missing("the program " + name);
    }

    /** Goes on if {@code present}. */
    public static void that(boolean present, String what) {
        if (!present) {
            throw missing(what);
        }
    }

    private static IllegalStateException missing(String what) {
        String message = "this test needs " + what;
        String ci = System.getenv("CI");
        if (ci != null && !ci.isEmpty()) {
            Assertions.fail(message + ", and on CI nothing may be missing");
        }
        Assumptions.abort(message);
        return new IllegalStateException(message);
    }
}
