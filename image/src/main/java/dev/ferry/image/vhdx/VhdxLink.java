package dev.ferry.image.vhdx;

import static dev.ferry.image.vhdx.VhdxLayout.*;

import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.sparse.Neighbours;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * What a differencing disk says of where its parent lies, changed: the paths in its locator. A locator that gets longer lies behind all
 * other metadata from then on. The identity of the parent's data stays. Blocking code of the control plane.
 */
public final class VhdxLink {
    private static final int OFFSET_OF_ENTRY = 16;
    private static final int LENGTH_OF_ENTRY = 20;
    private static final int ITEMS_AT_LEAST = 64 << 10;

    private VhdxLink() {}

    /** A key of a locator, and what it says. */
    private record Word(String key, String value) {}

    /** @param name of the parent, which lies beside the file from now on */
    public static void change(FileBytes file, String name) throws BlockException {
        VhdxImage image = VhdxImage.open(file);
        if (!image.delta()) {
            return;
        }
        if (image.openLog()) {
            List<String> said = image.parentNames();
            if (said.size() == 1 && said.getFirst().equals(name)) {
                return;
            }
            throw VhdxImage.flaw(
                    file,
                    ErrorKind.UNSUPPORTED,
                    "it was not closed properly, so that its parent cannot get another name; open it for writing once");
        }
        VhdxImage.Region region = VhdxImage.metadataRegion(file);
        byte[] table = file.read(region.offset(), ENTRY_BYTES * (ENTRIES_MAX + 1));
        int count = u16(table, METADATA_COUNT);
        long end = ITEMS_AT_LEAST;
        int entry = 0;
        for (int i = 1; i <= count; i++) {
            int at = i * ENTRY_BYTES;
            end = Math.max(end, u32(table, at + OFFSET_OF_ENTRY) + u32(table, at + LENGTH_OF_ENTRY));
            entry = identity(table, at).equals(PARENT_LOCATOR) ? at : entry;
        }
        long offset = u32(table, entry + OFFSET_OF_ENTRY);
        int length = (int) u32(table, entry + LENGTH_OF_ENTRY);
        byte[] before = file.read(region.offset() + offset, length);
        List<Word> words = words(before);
        List<Word> changed = words.stream().map(word -> changed(word, name)).toList();
        if (changed.equals(words)) {
            return;
        }
        byte[] locator = locator(changed);
        if (locator.length > length) {
            offset = (end + Long.BYTES - 1) / Long.BYTES * Long.BYTES;
        }
        if (offset + locator.length > region.length() || locator.length > ITEM_BYTES_MAX) {
            throw VhdxImage.flaw(file, ErrorKind.UNSUPPORTED, "its metadata have no room for the name of its parent");
        }
        file.write(region.offset() + offset, locator);
        file.flush();
        byte[] places = new byte[2 * Integer.BYTES];
        ByteBuffer.wrap(places)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt((int) offset)
                .putInt(locator.length);
        file.write(region.offset() + entry + OFFSET_OF_ENTRY, places);
        file.flush();
    }

    /** A path on a host that is another one now keeps its folder, which leads nowhere; a relative one leads beside the file. */
    private static Word changed(Word word, String name) {
        String last = Neighbours.lastOf(word.value());
        return switch (word.key()) {
            case "relative_path" -> new Word(word.key(), word.value().equals(name) ? name : ".\\" + name);
            case "volume_path", "absolute_win32_path" -> {
                String folder = word.value().substring(0, word.value().length() - last.length());
                yield new Word(word.key(), folder + name);
            }
            default -> word;
        };
    }

    /** Its bounds have been looked at when the file was opened. */
    private static List<Word> words(byte[] locator) {
        List<Word> words = new ArrayList<>();
        for (int i = 0; i < u16(locator, LOCATOR_COUNT); i++) {
            int at = LOCATOR_ENTRIES + i * LOCATOR_ENTRY_BYTES;
            words.add(new Word(
                    text(locator, u32(locator, at), u16(locator, at + 8)),
                    text(locator, u32(locator, at + 4), u16(locator, at + 10))));
        }
        return words;
    }

    private static String text(byte[] locator, long at, int length) {
        return new String(locator, (int) at, length, StandardCharsets.UTF_16LE);
    }

    private static byte[] locator(List<Word> words) {
        int at = LOCATOR_ENTRIES + words.size() * LOCATOR_ENTRY_BYTES;
        int letters = words.stream()
                .mapToInt(word -> word.key().length() + word.value().length())
                .sum();
        byte[] locator = new byte[at + letters * Character.BYTES];
        ByteBuffer fields = ByteBuffer.wrap(locator).order(ByteOrder.LITTLE_ENDIAN);
        putIdentity(locator, 0, LOCATOR_OF_VHDX);
        fields.putShort(LOCATOR_COUNT, (short) words.size());
        for (int i = 0; i < words.size(); i++) {
            int entry = LOCATOR_ENTRIES + i * LOCATOR_ENTRY_BYTES;
            byte[] key = words.get(i).key().getBytes(StandardCharsets.UTF_16LE);
            byte[] value = words.get(i).value().getBytes(StandardCharsets.UTF_16LE);
            fields.putInt(entry, at).putInt(entry + 4, at + key.length);
            fields.putShort(entry + 8, (short) key.length).putShort(entry + 10, (short) value.length);
            fields.put(at, key).put(at + key.length, value);
            at += key.length + value.length;
        }
        return locator;
    }

    /** The same locator, as it is made for a new disk. */
    static byte[] locator(String dataIdentity, String name) {
        return locator(List.of(new Word("parent_linkage", dataIdentity), new Word("relative_path", ".\\" + name)));
    }
}
