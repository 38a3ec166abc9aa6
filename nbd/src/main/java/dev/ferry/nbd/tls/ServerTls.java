package dev.ferry.nbd.tls;

import dev.ferry.nbd.wire.TlsMode;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import javax.naming.InvalidNameException;
import javax.naming.ldap.LdapName;
import javax.naming.ldap.Rdn;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * What a server does about TLS: by certificates or by pre-shared keys, not by both.
 *
 * @param mode whether there is any, and whether clients must use it
 * @param credentials the server's own; null for {@link TlsMode#OFF}, and where there are keys
 * @param keys the keys of clients; null: there are certificates
 * @param verifyClients clients must show a certificate that the authority vouches for
 * @param clients the names of clients that are let in: the common name or an alternative name (DNS, e-mail, URI) of
 *     their certificate, or that of their key. Empty: all whom the authority vouches for, or who have a key
 */
public record ServerTls(
        TlsMode mode,
        @Nullable TlsCredentials credentials,
        @Nullable PskFile keys,
        boolean verifyClients,
        Set<String> clients) {
    public static final ServerTls OFF = new ServerTls(TlsMode.OFF, null, false, Set.of());

    public ServerTls {
        clients = Set.copyOf(clients);
        if (mode != TlsMode.OFF && (credentials == null) == (keys == null)) {
            throw new IllegalArgumentException("TLS needs credentials, or keys");
        }
        if (!clients.isEmpty() && !verifyClients) {
            throw new IllegalArgumentException("clients are known by certificates that are verified");
        }
    }

    /** TLS by certificates. */
    public ServerTls(TlsMode mode, @Nullable TlsCredentials credentials, boolean verifyClients, Set<String> clients) {
        this(mode, credentials, null, verifyClients, clients);
    }

    /** TLS by pre-shared keys: whoever has none is not let in. */
    public static ServerTls ofKeys(TlsMode mode, PskFile keys, Set<String> clients) {
        return new ServerTls(mode, null, keys, true, clients);
    }

    /** Reads again what is in files. Blocks. */
    public void refresh() {
        if (credentials != null) {
            credentials.refresh();
        }
        if (keys != null) {
            keys.refresh();
        }
    }

    /** An engine for one more connection; not for {@link TlsMode#OFF}. */
    public SSLEngine engine() {
        if (keys != null) {
            return PskEngine.ofServer(keys.keys());
        }
        SSLEngine engine = Objects.requireNonNull(credentials).context().createSSLEngine();
        engine.setUseClientMode(false);
        engine.setNeedClientAuth(verifyClients);
        return engine;
    }

    /** True if whoever is at the other end of a session is let in. */
    public boolean admits(SSLSession session) {
        if (clients.isEmpty()) {
            return true;
        }
        if (session instanceof PskSession known) {
            return clients.contains(known.name());
        }
        try {
            X509Certificate shown = (X509Certificate) session.getPeerCertificates()[0];
            return namesOf(shown).anyMatch(clients::contains);
        } catch (SSLPeerUnverifiedException | CertificateParsingException | InvalidNameException nobody) {
            return false;
        }
    }

    private static Stream<String> namesOf(X509Certificate certificate)
            throws CertificateParsingException, InvalidNameException {
        Stream.Builder<String> names = Stream.builder();
        for (Rdn part : new LdapName(certificate.getSubjectX500Principal().getName()).getRdns()) {
            if (part.getType().equalsIgnoreCase("CN")) {
                names.add(String.valueOf(part.getValue()));
            }
        }
        Collection<List<?>> alternatives = certificate.getSubjectAlternativeNames();
        if (alternatives != null) {
            for (List<?> alternative : alternatives) {
                if (alternative.get(1) instanceof String name) {
                    names.add(name);
                }
            }
        }
        return names.build();
    }
}
