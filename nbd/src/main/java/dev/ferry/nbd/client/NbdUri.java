package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Where an export is: {@code nbd://host:port/name} or {@code nbd+unix:///name?socket=path}. Specification: {@code
 * doc/uri.md} of NetworkBlockDevice/nbd.
 */
public sealed interface NbdUri {
    /** The port that IANA reserved for NBD. */
    int DEFAULT_PORT = 10809;

    /** The export's name, decoded; empty for the default export. */
    String exportName();

    /** The same server, another export. */
    NbdUri withExportName(String name);

    /** An export behind a TCP port. */
    record Tcp(String host, int port, String exportName) implements NbdUri {
        @Override
        public NbdUri withExportName(String name) {
            return new Tcp(host, port, name);
        }

        @Override
        public String toString() {
            String written = host.indexOf(':') >= 0 ? "[" + host + "]" : host;
            return "nbd://" + written + (port == DEFAULT_PORT ? "" : ":" + port) + "/" + encoded(exportName);
        }
    }

    /** An export behind a unix socket. */
    record Unix(Path socket, String exportName) implements NbdUri {
        @Override
        public NbdUri withExportName(String name) {
            return new Unix(socket, name);
        }

        @Override
        public String toString() {
            return "nbd+unix:///" + encoded(exportName) + "?socket=" + encoded(socket.toString());
        }
    }

    /** True if the text has the scheme of an NBD URI, so that a tool can tell one from a file name. */
    static boolean looksLikeOne(String text) {
        return text.startsWith("nbd:") || text.startsWith("nbd+") || text.startsWith("nbds");
    }

    /** @throws BlockException INVALID if the text is no NBD URI, UNSUPPORTED if it asks for what Ferry has not */
    static NbdUri parse(String text) throws BlockException {
        URI uri;
        try {
            uri = new URI(text);
        } catch (URISyntaxException e) {
            throw refused(ErrorKind.INVALID, text, "this is not a URI: " + e.getReason());
        }
        String scheme = uri.getScheme();
        if (scheme == null || uri.isOpaque()) {
            throw refused(ErrorKind.INVALID, text, "an NBD URI begins with nbd:// or nbd+unix://");
        }
        String path = uri.getPath() == null ? "" : uri.getPath();
        String name = path.startsWith("/") ? path.substring(1) : path;
        if (name.indexOf('\0') >= 0 || name.getBytes(StandardCharsets.UTF_8).length > 4096) {
            throw refused(ErrorKind.INVALID, text, "the name of an export is at most 4096 bytes, none of them NUL");
        }
        switch (scheme) {
            case "nbd":
                String host = uri.getHost();
                if (host == null) {
                    throw refused(ErrorKind.INVALID, text, "a host is missing: nbd://HOST[:PORT]/NAME");
                }
                if (uri.getRawQuery() != null) {
                    throw refused(ErrorKind.INVALID, text, "unknown parameter " + uri.getRawQuery());
                }
                String bare = host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
                return new Tcp(bare, uri.getPort() == -1 ? DEFAULT_PORT : uri.getPort(), name);
            case "nbd+unix":
                return new Unix(socketOf(text, uri), name);
            case "nbds", "nbds+unix":
                throw refused(ErrorKind.UNSUPPORTED, text, "TLS is not in this version of Ferry");
            default:
                throw refused(ErrorKind.INVALID, text, "an NBD URI begins with nbd:// or nbd+unix://");
        }
    }

    private static Path socketOf(String text, URI uri) throws BlockException {
        String query = uri.getRawQuery();
        String prefix = "socket=";
        if (query == null || !query.startsWith(prefix) || query.length() == prefix.length()) {
            throw refused(ErrorKind.INVALID, text, "the socket is missing: nbd+unix:///NAME?socket=PATH");
        }
        if (query.indexOf('&') >= 0) {
            throw refused(ErrorKind.INVALID, text, "unknown parameter " + query.substring(query.indexOf('&') + 1));
        }
        String value = query.substring(prefix.length()).replace("+", "%2B");
        try {
            return Path.of(URLDecoder.decode(value, StandardCharsets.UTF_8));
        } catch (IllegalArgumentException e) {
            throw refused(ErrorKind.INVALID, text, "the socket is no path");
        }
    }

    private static BlockException refused(ErrorKind kind, String text, String detail) {
        return BlockError.of(kind, text, "open", detail).toException();
    }

    private static String encoded(String text) {
        StringBuilder written = new StringBuilder();
        for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
            char c = (char) (b & 0xff);
            boolean plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
            if (plain || "-._~/:@".indexOf(c) >= 0) {
                written.append(c);
            } else {
                written.append('%').append(String.format("%02X", (int) c));
            }
        }
        return written.toString();
    }
}
