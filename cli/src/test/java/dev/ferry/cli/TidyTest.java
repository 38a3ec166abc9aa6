package dev.ferry.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the compiler and ArchUnit cannot see in the sources: how long files are, and what words are in them. */
final class TidyTest {
    private static final int LINES_MAX = 600;
    private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();

    private static List<Path> sources(String below) {
        try (Stream<Path> rooms = Files.list(ROOT)) {
            List<Path> found = new ArrayList<>();
            for (Path room :
                    rooms.filter(path -> Files.isDirectory(path.resolve(below))).toList()) {
                try (Stream<Path> files = Files.walk(room.resolve(below))) {
                    files.filter(path -> path.toString().endsWith(".java")).forEach(found::add);
                }
            }
            assertThat(found).isNotEmpty();
            return found;
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    private static List<String> lines(Path file) {
        try {
            return Files.readAllLines(file);
        } catch (IOException failed) {
            throw new UncheckedIOException(failed);
        }
    }

    @Test
    void aFileDoesOneThing() {
        assertThat(sources("src/main/java"))
                .filteredOn(file -> lines(file).size() > LINES_MAX)
                .as("files of more than %d lines: ask what second thing they do", LINES_MAX)
                .isEmpty();
    }

    @Test
    void everyPackageHasATour() {
        assertThat(sources("src/main/java").stream().map(Path::getParent).distinct())
                .allSatisfy(directory ->
                        assertThat(directory.resolve("package-info.java")).exists());
    }

    @Test
    void nothingIsLeftForLater() {
        Pattern later = Pattern.compile("\\b(TO" + "DO|FIX" + "ME|X{3})\\b");
        assertThat(sources("src"))
                .filteredOn(file -> lines(file).stream()
                        .anyMatch(line -> later.matcher(line).find()))
                .isEmpty();
    }

    @Test
    void sourceAndTargetAreWrittenOut() {
        Pattern shortened = Pattern.compile("\\b(src|dst|dest)\\b(?!/)");
        assertThat(sources("src/main/java"))
                .filteredOn(file -> lines(file).stream()
                        .anyMatch(line ->
                                !line.contains("\"") && shortened.matcher(line).find()))
                .isEmpty();
    }
}
