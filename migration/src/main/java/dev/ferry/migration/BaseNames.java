package dev.ferry.migration;

import dev.ferry.datastore.Names;
import java.nio.file.Path;

/** What a file below disks is called at another datastore: as it was, or, where another file has that name, with a number. */
public final class BaseNames {
    /** Leaves room for a number. */
    private static final int LENGTH_MAX = Names.LENGTH_MAX - 8;

    private BaseNames() {}

    /** @param number from 1 on */
    public static String of(Path source, int number) {
        String name = String.valueOf(source.getFileName()).replaceAll("[^A-Za-z0-9._-]", "_");
        String plain = name.replaceFirst("^[.-]+", "");
        int dot = plain.lastIndexOf('.');
        String extension = dot > 0 && plain.length() - dot <= LENGTH_MAX / 2 ? plain.substring(dot) : "";
        String stem = plain.substring(0, plain.length() - extension.length());
        String whole =
                stem.isEmpty() ? "base" : stem.substring(0, Math.min(stem.length(), LENGTH_MAX - extension.length()));
        return number == 1 ? whole + extension : whole + "-" + number + extension;
    }
}
