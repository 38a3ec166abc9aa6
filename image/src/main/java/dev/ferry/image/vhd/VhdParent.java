package dev.ferry.image.vhd;

import static dev.ferry.image.vhd.VhdImage.s32;
import static dev.ferry.image.vhd.VhdImage.u64;
import static dev.ferry.image.vhd.VhdLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Neighbours;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.UUID;

/**
 * What a differencing disk says of its parent.
 *
 * @param identity the one that is in the parent's footer
 * @param names of the file: the last parts of the paths that it was made with, in the order in which they are to be tried
 * @param places where in the file the paths are
 */
record VhdParent(UUID identity, List<String> names, List<Place> places) {
    /** A part of the file. */
    record Place(long offset, long length) {}

    VhdParent {
        names = List.copyOf(names);
        places = List.copyOf(places);
    }

    /** True if nothing of this lies in a part of the file. */
    boolean isApart(long offset, long length) {
        return places.stream()
                .allMatch(place -> place.offset >= offset + length || offset >= place.offset + place.length);
    }

    /** Reads it from the header of a file, and from where its locators point. */
    static VhdParent of(FileBytes file, byte[] header) throws BlockException {
        List<String> paths = new ArrayList<>();
        List<Place> places = new ArrayList<>();
        paths.addAll(located(file, header, places, PLATFORM_W2RU, StandardCharsets.UTF_16LE));
        paths.add(new String(header, PARENT_NAME, PARENT_NAME_BYTES, StandardCharsets.UTF_16BE));
        paths.addAll(located(file, header, places, PLATFORM_W2KU, StandardCharsets.UTF_16LE));
        paths.addAll(located(file, header, places, PLATFORM_MACX, StandardCharsets.UTF_8));
        Set<String> names = new LinkedHashSet<>();
        for (String path : paths) {
            int end = path.indexOf('\0');
            String name = Neighbours.lastOf(end < 0 ? path : path.substring(0, end));
            if (Neighbours.isName(name)) {
                names.add(name);
            }
        }
        return new VhdParent(VhdImage.identity(header, PARENT_IDENTITY), List.copyOf(names), places);
    }

    private static List<String> located(
            FileBytes file, byte[] header, List<Place> places, int platform, Charset letters) throws BlockException {
        List<String> found = new ArrayList<>();
        for (int i = 0; i < LOCATOR_COUNT; i++) {
            int at = LOCATORS + i * LOCATOR_BYTES;
            if (s32(header, at) != platform) {
                continue;
            }
            int length = s32(header, at + LOCATOR_LENGTH);
            long offset = u64(header, at + LOCATOR_OFFSET);
            boolean sound =
                    length >= 0 && length <= PATH_BYTES_MAX && offset >= 0 && offset <= file.lengthBytes() - length;
            if (!sound) {
                throw VhdImage.flaw(file, ErrorKind.CORRUPT, "a locator of its parent is out of bounds");
            }
            places.add(new Place(offset, length));
            found.add(new String(file.read(offset, length), letters));
        }
        return found;
    }
}
