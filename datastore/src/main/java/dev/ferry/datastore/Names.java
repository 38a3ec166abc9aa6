package dev.ferry.datastore;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;

/**
 * What disks and datastores may be called. A name becomes part of a file name, of a URI and of a line on a screen, so it
 * is made of letters, digits, dot, underscore and dash, does not begin with a dot or a dash, and has at most {@value
 * #LENGTH_MAX} characters.
 */
public final class Names {
    /** Longest name, in characters; leaves room for prefix and suffix within the 255 bytes of a file name. */
    public static final int LENGTH_MAX = 200;

    private Names() {}

    /**
     * Gives the name back if it is one.
     *
     * @param what what it is to name, for the error: {@code disk}, {@code datastore}
     * @throws BlockException of kind {@link ErrorKind#INVALID} if it is not
     */
    public static String checked(String what, String name) throws BlockException {
        String flaw = flaw(name);
        if (!flaw.isEmpty()) {
            throw BlockError.of(ErrorKind.INVALID, what, "name", flaw).toException();
        }
        return name;
    }

    public static boolean valid(String name) {
        return flaw(name).isEmpty();
    }

    private static String flaw(String name) {
        if (name.isEmpty()) {
            return "a name cannot be empty";
        }
        if (name.length() > LENGTH_MAX) {
            return "a name has at most " + LENGTH_MAX + " characters, this one has " + name.length();
        }
        if (name.charAt(0) == '.' || name.charAt(0) == '-') {
            return quoted(name) + " begins with '" + name.charAt(0) + "'";
        }
        for (int i = 0; i < name.length(); i++) {
            if (!allowed(name.charAt(i))) {
                return quoted(name) + " has a character that is none of A-Z a-z 0-9 . _ -";
            }
        }
        return "";
    }

    private static boolean allowed(char c) {
        return (c >= 'a' && c <= 'z')
                || (c >= 'A' && c <= 'Z')
                || (c >= '0' && c <= '9')
                || c == '.'
                || c == '_'
                || c == '-';
    }

    /** The name with everything that could play tricks with a terminal made visible. */
    private static String quoted(String name) {
        StringBuilder text = new StringBuilder("\"");
        for (int i = 0; i < name.length(); i++) {
            char c = name.charAt(i);
            text.append(c >= ' ' && c < 127 ? c : '?');
        }
        return text.append('"').toString();
    }
}
