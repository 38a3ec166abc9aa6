package dev.ferry.cli;

import dev.ferry.nbd.tls.PskFile;
import dev.ferry.nbd.tls.ServerTls;
import dev.ferry.nbd.tls.TlsCredentials;
import dev.ferry.nbd.tls.TlsFiles;
import dev.ferry.nbd.wire.TlsMode;
import dev.ferry.server.Problems;
import dev.ferry.server.api.ProblemException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What a server is told of TLS on the command line. */
final class TlsServeOptions {
    @Option(
            names = "--tls-certificates",
            paramLabel = "DIR",
            description = "Certificates, named as for QEMU and nbdkit: ca-cert.pem, server-cert.pem, server-key.pem. "
                    + "Read again when they have changed.")
    private @Nullable Path certificates;

    @Option(
            names = "--tls-psk",
            paramLabel = "FILE",
            description =
                    "Pre-shared keys instead, in lines of NAME:KEY, as for QEMU and nbdkit; read for each client.")
    private @Nullable Path keys;

    @Option(
            names = "--tls",
            paramLabel = "MODE",
            description = "off, on (clients may use it) or require (default with --tls-certificates and --tls-psk).")
    private @Nullable String mode;

    @Option(names = "--tls-verify-peer", description = "Clients must show a certificate of the authority.")
    private boolean verify;

    @Option(
            names = "--tls-client",
            paramLabel = "NAME",
            description =
                    "Only clients whose certificate or key has this name; may be repeated. Means --tls-verify-peer.")
    private List<String> clients = List.of();

    /** What all that comes to. */
    ServerTls settings() throws ProblemException, IOException {
        TlsMode wanted =
                mode == null ? (certificates == null && keys == null ? TlsMode.OFF : TlsMode.REQUIRE) : modeOf(mode);
        if (wanted == TlsMode.OFF) {
            if (verify || !clients.isEmpty()) {
                throw Problems.wrongUsage("clients are verified through TLS; add --tls-certificates DIR");
            }
            return ServerTls.OFF;
        }
        if (keys != null) {
            if (certificates != null) {
                throw Problems.wrongUsage("TLS is by --tls-certificates or by --tls-psk, not both");
            }
            return ServerTls.ofKeys(wanted, PskFile.load(keys), Set.copyOf(clients));
        }
        if (certificates == null) {
            throw Problems.wrongUsage("--tls " + mode + " needs --tls-certificates DIR or --tls-psk FILE");
        }
        TlsCredentials credentials = TlsCredentials.load(TlsFiles.ofServer(certificates));
        return new ServerTls(wanted, credentials, verify || !clients.isEmpty(), Set.copyOf(clients));
    }

    private static TlsMode modeOf(String text) throws ProblemException {
        return switch (text.toLowerCase(Locale.ROOT)) {
            case "off" -> TlsMode.OFF;
            case "on" -> TlsMode.ON;
            case "require" -> TlsMode.REQUIRE;
            default -> throw Problems.wrongUsage("--tls is off, on or require, not '" + text + "'");
        };
    }
}
