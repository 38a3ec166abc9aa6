package dev.ferry.image;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the files that a file names are called from now on. All lie beside it.
 *
 * @param below name of the file that it lies over; null: it lies over nothing
 * @param belowFormat the format of that, as it is to stand in the file; null where there is none
 * @param files of its own file and of those that hold parts of its disk, by the names that stand in it; those that are not among
 *     them keep theirs
 */
public record NewNames(@Nullable String below, @Nullable String belowFormat, Map<String, String> files) {
    public NewNames {
        files = Map.copyOf(files);
    }

    /** What a file of this name is called. */
    public String of(String name) {
        return files.getOrDefault(name, name);
    }
}
