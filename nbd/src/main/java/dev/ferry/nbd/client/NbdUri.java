package dev.ferry.nbd.client;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Where an export is: {@code nbd://host:port/name} or {@code nbd+unix:///name?socket=path}, and with {@code nbds} through
 * TLS only. Specification: {@code doc/uri.md} of NetworkBlockDevice/nbd; {@code tls-certificates} is libnbd's.
 */
public sealed interface NbdUri {
    /** The port that IANA reserved for NBD. */
    int DEFAULT_PORT = 10809;

    /** The export's name, decoded; empty for the default export. */
    String exportName();

    /** What is wanted of TLS; null: it is not used. */
    @Nullable
    Tls tls();

    /** The same server, another export. */
    NbdUri withExportName(String name);

    /**
     * TLS, and nothing without it.
     *
     * @param hostName what the server's certificate must say; null: the host of the URI, or nothing for a unix socket
     * @param verifyPeer false: any certificate will do
     * @param certificates a directory with {@code ca-cert.pem} and, for a client that has to show one, {@code
     *     client-cert.pem} and {@code client-key.pem}
     * @param psk a pre-shared key instead of all that; null: certificates
     */
    record Tls(
            @Nullable String hostName,
            boolean verifyPeer,
            @Nullable Path certificates,
            @Nullable Psk psk) {
        public Tls(@Nullable String hostName, boolean verifyPeer, @Nullable Path certificates) {
            this(hostName, verifyPeer, certificates, null);
        }

        private String user() {
            String name = psk == null ? null : psk.name();
            return name == null
                    ? ""
                    : encoded(name).replace(":", "%3A").replace("@", "%40").replace("/", "%2F") + "@";
        }

        private String parameters(String before) {
            StringBuilder text = new StringBuilder();
            String separator = before;
            if (hostName != null) {
                text.append(separator).append("tls-hostname=").append(encoded(hostName));
                separator = "&";
            }
            if (!verifyPeer) {
                text.append(separator).append("tls-verify-peer=0");
                separator = "&";
            }
            if (certificates != null) {
                text.append(separator).append("tls-certificates=").append(encoded(certificates.toString()));
                separator = "&";
            }
            if (psk != null) {
                text.append(separator)
                        .append("tls-psk-file=")
                        .append(encoded(psk.file().toString()));
            }
            return text.toString();
        }
    }

    /**
     * A key that both ends have beforehand.
     *
     * @param file with lines of {@code NAME:KEY}
     * @param name whose key, before the {@code @} of a URI; null: the only one of the file
     */
    record Psk(Path file, @Nullable String name) {}

    /** An export behind a TCP port. */
    record Tcp(
            String host,
            int port,
            String exportName,
            @Nullable Tls tls) implements NbdUri {
        public Tcp(String host, int port, String exportName) {
            this(host, port, exportName, null);
        }

        @Override
        public NbdUri withExportName(String name) {
            return new Tcp(host, port, name, tls);
        }

        @Override
        public String toString() {
            String written = host.indexOf(':') >= 0 ? "[" + host + "]" : host;
            String scheme = tls == null ? "nbd://" : "nbds://";
            return scheme
                    + (tls == null ? "" : tls.user())
                    + written
                    + (port == DEFAULT_PORT ? "" : ":" + port)
                    + "/"
                    + encoded(exportName)
                    + (tls == null ? "" : tls.parameters("?"));
        }
    }

    /** An export behind a unix socket. */
    record Unix(Path socket, String exportName, @Nullable Tls tls) implements NbdUri {
        public Unix(Path socket, String exportName) {
            this(socket, exportName, null);
        }

        @Override
        public NbdUri withExportName(String name) {
            return new Unix(socket, name, tls);
        }

        @Override
        public String toString() {
            String scheme = tls == null ? "nbd+unix:///" : "nbds+unix://" + tls.user() + "/";
            return scheme
                    + encoded(exportName)
                    + "?socket="
                    + encoded(socket.toString())
                    + (tls == null ? "" : tls.parameters("&"));
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
        boolean unix = scheme.endsWith("+unix");
        boolean secure = scheme.startsWith("nbds");
        if (!List.of("nbd", "nbds", "nbd+unix", "nbds+unix").contains(scheme)) {
            throw refused(
                    ErrorKind.INVALID, text, "an NBD URI begins with nbd://, nbds://, nbd+unix:// or nbds+unix://");
        }
        Map<String, String> parameters = parameters(text, uri.getRawQuery());
        String socket = parameters.remove("socket");
        Tls tls = secure ? tls(text, user(text, uri), parameters) : null;
        if (!parameters.isEmpty()) {
            String unknown = parameters.keySet().iterator().next();
            throw refused(ErrorKind.INVALID, text, "unknown parameter " + unknown);
        }
        if (unix) {
            if (socket == null || socket.isEmpty()) {
                throw refused(ErrorKind.INVALID, text, "the socket is missing: " + scheme + ":///NAME?socket=PATH");
            }
            return new Unix(path(text, socket), name, tls);
        }
        String host = uri.getHost();
        if (host == null) {
            throw refused(ErrorKind.INVALID, text, "a host is missing: " + scheme + "://HOST[:PORT]/NAME");
        }
        if (socket != null) {
            throw refused(ErrorKind.INVALID, text, "a socket goes with " + scheme + "+unix");
        }
        String bare = host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
        return new Tcp(bare, uri.getPort() == -1 ? DEFAULT_PORT : uri.getPort(), name, tls);
    }

    private static Map<String, String> parameters(String text, @Nullable String query) throws BlockException {
        Map<String, String> found = new LinkedHashMap<>();
        if (query == null) {
            return found;
        }
        for (String parameter : query.split("&", -1)) {
            int equals = parameter.indexOf('=');
            String key = equals < 0 ? parameter : parameter.substring(0, equals);
            String value = equals < 0 ? "" : parameter.substring(equals + 1).replace("+", "%2B");
            try {
                if (found.put(key, URLDecoder.decode(value, StandardCharsets.UTF_8)) != null) {
                    throw refused(ErrorKind.INVALID, text, "the parameter " + key + " comes twice");
                }
            } catch (IllegalArgumentException notEncoded) {
                throw refused(ErrorKind.INVALID, text, "the parameter " + key + " is not encoded as URIs are");
            }
        }
        return found;
    }

    /** What is before the {@code @}; where there is no host {@link URI} does not tell. */
    private static @Nullable String user(String text, URI uri) throws BlockException {
        String authority = uri.getRawAuthority();
        int at = authority == null ? -1 : authority.indexOf('@');
        if (authority == null || at <= 0) {
            return null;
        }
        try {
            return URLDecoder.decode(authority.substring(0, at).replace("+", "%2B"), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notEncoded) {
            throw refused(ErrorKind.INVALID, text, "the name before the @ is not encoded as URIs are");
        }
    }

    private static Tls tls(String text, @Nullable String user, Map<String, String> parameters) throws BlockException {
        String kind = parameters.remove("tls-type");
        if (kind != null && !kind.equals("x509") && !kind.equals("psk")) {
            throw refused(ErrorKind.UNSUPPORTED, text, "of the types of TLS there are x509 and psk here");
        }
        String keys = parameters.remove("tls-psk-file");
        if (keys != null && !"x509".equals(kind)) {
            // What is said of certificates is left among the parameters, and refused there.
            return new Tls(null, true, null, new Psk(path(text, keys), user));
        }
        if (keys != null || "psk".equals(kind)) {
            throw refused(ErrorKind.INVALID, text, "tls-psk-file=FILE goes with tls-type=psk");
        }
        String verify = parameters.remove("tls-verify-peer");
        if (verify != null && !verify.equals("0") && !verify.equals("1")) {
            throw refused(ErrorKind.INVALID, text, "tls-verify-peer is 0 or 1");
        }
        String certificates = parameters.remove("tls-certificates");
        return new Tls(
                parameters.remove("tls-hostname"),
                !"0".equals(verify),
                certificates == null ? null : path(text, certificates));
    }

    private static Path path(String text, String value) throws BlockException {
        try {
            return Path.of(value);
        } catch (IllegalArgumentException none) {
            throw refused(ErrorKind.INVALID, text, "'" + value + "' is no path");
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
