package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxImage.require;
import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import org.jspecify.annotations.Nullable;

/**
 * What the metadata of a file say of its disk.
 *
 * @param parent what it says of its parent, null if it has none
 * @param sizeAt where in the file the size of the disk stands
 * @param allocated all of its blocks have their room
 */
record VhdxMetadata(
        long sizeBytes,
        int blockBytes,
        int sectorBytes,
        @Nullable Parent parent,
        long sizeAt,
        boolean allocated) {
    private static final Set<UUID> KNOWN =
            Set.of(FILE_PARAMETERS, DISK_SIZE, DISK_IDENTITY, LOGICAL_SECTOR, PHYSICAL_SECTOR, PARENT_LOCATOR);

    /**
     * The parent that a differencing disk was made over.
     *
     * @param identities of its data, one of which it has, in lower case
     * @param paths where it was, the likeliest first
     */
    record Parent(List<String> identities, List<String> paths) {
        Parent {
            identities = List.copyOf(identities);
            paths = List.copyOf(paths);
        }
    }

    static VhdxMetadata read(FileBytes file, VhdxImage.Region region) throws BlockException {
        byte[] table = file.read(region.offset(), ENTRY_BYTES * (ENTRIES_MAX + 1));
        require(file, u64(table, 0) == METADATA_MAGIC, "its metadata are damaged");
        int count = u16(table, METADATA_COUNT);
        require(file, count <= ENTRIES_MAX, "it has too many items of metadata");
        Map<UUID, byte[]> items = new HashMap<>();
        long sizeAt = 0;
        for (int i = 0; i < count; i++) {
            int at = ENTRY_BYTES * (i + 1);
            UUID kind = identity(table, at);
            if (!KNOWN.contains(kind)) {
                if ((u32(table, at + 24) & METADATA_REQUIRED) != 0) {
                    throw VhdxImage.flaw(
                            file, ErrorKind.UNSUPPORTED, "it needs metadata that this version does not know: " + kind);
                }
                continue;
            }
            long offset = u32(table, at + 16);
            long length = u32(table, at + 20);
            require(
                    file,
                    length <= ITEM_BYTES_MAX && offset + length <= region.length(),
                    "an item of its metadata is out of bounds");
            items.put(kind, file.read(region.offset() + offset, (int) length));
            sizeAt = kind.equals(DISK_SIZE) ? region.offset() + offset : sizeAt;
        }
        byte[] parameters = item(file, items, FILE_PARAMETERS, 8);
        long block = u32(parameters, 0);
        long sector = u32(item(file, items, LOGICAL_SECTOR, 4), 0);
        long size = u64(item(file, items, DISK_SIZE, 8), 0);
        require(
                file,
                block >= BLOCK_BYTES_MIN && block <= BLOCK_BYTES_MAX && Long.bitCount(block) == 1,
                "its block size is out of bounds");
        require(file, sector == 512 || sector == 4096, "its sectors have " + sector + " bytes");
        require(file, size > 0 && size <= SIZE_BYTES_MAX && size % sector == 0, "its size is out of bounds");
        boolean delta = (u32(parameters, 4) & HAS_PARENT) != 0;
        Parent parent = delta ? parent(file, item(file, items, PARENT_LOCATOR, LOCATOR_ENTRIES)) : null;
        boolean allocated = (u32(parameters, 4) & LEAVES_ALLOCATED) != 0;
        return new VhdxMetadata(size, (int) block, (int) sector, parent, sizeAt, allocated);
    }

    private static byte[] item(FileBytes file, Map<UUID, byte[]> items, UUID kind, int bytesMin) throws BlockException {
        byte[] item = items.get(kind);
        if (item == null || item.length < bytesMin) {
            throw VhdxImage.flaw(file, ErrorKind.CORRUPT, "an item of its metadata is missing: " + kind);
        }
        return item;
    }

    private static Parent parent(FileBytes file, byte[] locator) throws BlockException {
        if (!identity(locator, 0).equals(LOCATOR_OF_VHDX)) {
            throw VhdxImage.flaw(file, ErrorKind.UNSUPPORTED, "its parent is of a kind that is not known");
        }
        Map<String, String> said = new HashMap<>();
        int count = u16(locator, LOCATOR_COUNT);
        for (int i = 0; i < count; i++) {
            int at = LOCATOR_ENTRIES + i * LOCATOR_ENTRY_BYTES;
            require(file, at + LOCATOR_ENTRY_BYTES <= locator.length, "its parent's locator is damaged");
            String key = text(file, locator, u32(locator, at), u16(locator, at + 8));
            said.put(key, text(file, locator, u32(locator, at + 4), u16(locator, at + 10)));
        }
        return new Parent(
                values(said, "parent_linkage", "parent_linkage2").stream()
                        .map(text -> text.toLowerCase(Locale.ROOT).replaceAll("[{}]", ""))
                        .toList(),
                values(said, "relative_path", "volume_path", "absolute_win32_path"));
    }

    private static String text(FileBytes file, byte[] locator, long at, int length) throws BlockException {
        require(file, at + length <= locator.length, "its parent's locator is damaged");
        return new String(locator, (int) at, length, StandardCharsets.UTF_16LE);
    }

    private static List<String> values(Map<String, String> said, String... keys) {
        List<String> found = new ArrayList<>();
        for (String key : keys) {
            String value = said.get(key);
            if (value != null) {
                found.add(value);
            }
        }
        return found;
    }
}
