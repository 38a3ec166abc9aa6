package dev.ferry.migration.journal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.UserDefinedFileAttributeView;
import java.util.HexFormat;

/**
 * A word at the target's file, as an extended attribute, that the record of what is in step with it is not true: for when
 * the record's own disk does not answer. Thread: any. Calls block.
 */
public final class Disowned {
    private static final String NAME = "ferry.disowned";

    private Disowned() {}

    /** Says it durably. */
    public static void say(Path target, StepKey key) throws IOException {
        ByteBuffer word = StandardCharsets.US_ASCII.encode(wordOf(key));
        view(target).write(NAME, word);
        sync(target);
    }

    /** Takes it back durably, where it was said: there is a new record. */
    public static void takeBack(Path target) throws IOException {
        UserDefinedFileAttributeView view = view(target);
        if (view.list().contains(NAME)) {
            view.delete(NAME);
            sync(target);
        }
    }

    static boolean is(Path target, StepKey key) {
        try {
            UserDefinedFileAttributeView view = view(target);
            if (!view.list().contains(NAME)) {
                return false;
            }
            ByteBuffer word = ByteBuffer.allocate(view.size(NAME));
            view.read(NAME, word);
            return StandardCharsets.US_ASCII.decode(word.flip()).toString().equals(wordOf(key));
        } catch (IOException | UnsupportedOperationException e) {
            // What has no attributes was never disowned, and a target that is away is found to be so by whoever opens
            // it.
            return false;
        }
    }

    private static String wordOf(StepKey key) {
        return HexFormat.of().formatHex(key.digest());
    }

    private static UserDefinedFileAttributeView view(Path target) throws IOException {
        UserDefinedFileAttributeView view =
                Files.getFileAttributeView(target, UserDefinedFileAttributeView.class, LinkOption.NOFOLLOW_LINKS);
        if (view == null) {
            throw new IOException("no extended attributes at " + target);
        }
        return view;
    }

    private static void sync(Path target) throws IOException {
        try (FileChannel channel = FileChannel.open(target, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            channel.force(true);
        }
    }
}
