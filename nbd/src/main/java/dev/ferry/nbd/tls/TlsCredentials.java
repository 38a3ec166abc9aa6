package dev.ferry.nbd.tls;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.SecureRandom;
import java.security.Signature;
import java.security.cert.CertStore;
import java.security.cert.CollectionCertStoreParameters;
import java.security.cert.PKIXBuilderParameters;
import java.security.cert.X509CertSelector;
import java.security.cert.X509Certificate;
import java.util.List;
import javax.net.ssl.CertPathTrustManagerParameters;
import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;

/**
 * Certificates and keys, loaded from files, and loaded again when the files have changed: connections that begin after that
 * use the new ones, and nothing has to be restarted. Any thread; reading files blocks.
 */
public final class TlsCredentials {
    private static final System.Logger LOG = System.getLogger(TlsCredentials.class.getName());
    private static final char[] NO_PASSWORD = new char[0];

    private final TlsFiles files;
    private volatile SSLContext context;
    private String loadedState;

    private TlsCredentials(TlsFiles files, SSLContext context, String loadedState) {
        this.files = files;
        this.context = context;
        this.loadedState = loadedState;
    }

    /** @throws IOException one line that names the file that is wrong, and says why */
    public static TlsCredentials load(TlsFiles files) throws IOException {
        String state = state(files);
        return new TlsCredentials(files, build(files, false), state);
    }

    /** Credentials of a client that takes any certificate for the server's: encrypted, and open to whoever is in between. */
    public static TlsCredentials trustingAnybody(TlsFiles files) throws IOException {
        String state = state(files);
        return new TlsCredentials(files, build(files, true), state);
    }

    /** What was loaded last. */
    public SSLContext context() {
        return context;
    }

    /** Loads the files again if they have changed. What cannot be loaded is logged, and what was loaded before stays. */
    public synchronized void refresh() {
        try {
            String state = state(files);
            if (!state.equals(loadedState)) {
                context = build(files, false);
                loadedState = state;
            }
        } catch (IOException halfWritten) {
            LOG.log(System.Logger.Level.WARNING, "new TLS certificates are not used yet: " + halfWritten.getMessage());
        }
    }

    private static String state(TlsFiles files) throws IOException {
        StringBuilder state = new StringBuilder();
        Path revocations = files.revocations();
        boolean revokes = revocations != null && Files.exists(revocations);
        for (Path file : new @Nullable Path[] {
            files.authorities(), files.certificate(), files.key(), revokes ? revocations : null
        }) {
            if (file != null) {
                BasicFileAttributes facts = Files.readAttributes(file, BasicFileAttributes.class);
                state.append(facts.fileKey()).append(' ').append(facts.lastModifiedTime());
                state.append(' ').append(facts.size()).append('\n');
            }
        }
        return state.toString();
    }

    private static SSLContext build(TlsFiles files, boolean anybody) throws IOException {
        try {
            SSLContext made = SSLContext.getInstance("TLS");
            made.init(
                    own(files), anybody ? new TrustManager[] {new TrustAnybody()} : others(files), new SecureRandom());
            return made;
        } catch (GeneralSecurityException refused) {
            throw new IOException("these certificates cannot be used: " + refused.getMessage(), refused);
        }
    }

    private static KeyManager @Nullable [] own(TlsFiles files) throws IOException, GeneralSecurityException {
        Path certificate = files.certificate();
        Path key = files.key();
        if (certificate == null || key == null) {
            return null;
        }
        List<X509Certificate> chain = Pem.certificates(certificate);
        PrivateKey secret = Pem.key(key);
        if (!fits(secret, chain.getFirst())) {
            throw new IOException("the key in " + key + " is not that of the certificate in " + certificate);
        }
        KeyStore store = emptyStore();
        store.setKeyEntry("own", secret, NO_PASSWORD, chain.toArray(X509Certificate[]::new));
        KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        factory.init(store, NO_PASSWORD);
        return factory.getKeyManagers();
    }

    private static TrustManager @Nullable [] others(TlsFiles files) throws IOException, GeneralSecurityException {
        Path authorities = files.authorities();
        if (authorities == null) {
            return null;
        }
        KeyStore store = emptyStore();
        int number = 0;
        for (X509Certificate authority : Pem.certificates(authorities)) {
            store.setCertificateEntry("authority " + number++, authority);
        }
        TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
        Path revocations = files.revocations();
        if (revocations != null && Files.exists(revocations)) {
            factory.init(new CertPathTrustManagerParameters(unlessRevoked(store, revocations)));
        } else {
            factory.init(store);
        }
        return factory.getTrustManagers();
    }

    /** By the lists of the file alone: nobody is asked over the network. What no list covers is refused. */
    private static PKIXBuilderParameters unlessRevoked(KeyStore authorities, Path revocations)
            throws IOException, GeneralSecurityException {
        PKIXBuilderParameters parameters = new PKIXBuilderParameters(authorities, new X509CertSelector());
        parameters.addCertStore(
                CertStore.getInstance("Collection", new CollectionCertStoreParameters(Pem.revocations(revocations))));
        parameters.setRevocationEnabled(true);
        return parameters;
    }

    private static KeyStore emptyStore() throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, NO_PASSWORD);
        return store;
    }

    /** A file may have been replaced and the other one not yet. */
    private static boolean fits(PrivateKey key, X509Certificate certificate) throws GeneralSecurityException {
        String kind = certificate.getPublicKey().getAlgorithm();
        if (!kind.equals(key.getAlgorithm())) {
            return false;
        }
        String algorithm = switch (kind) {
            case "RSA" -> "SHA256withRSA";
            case "EC" -> "SHA256withECDSA";
            default -> kind;
        };
        byte[] text = {1, 2, 3};
        Signature signing = Signature.getInstance(algorithm);
        signing.initSign(key);
        signing.update(text);
        Signature checking = Signature.getInstance(algorithm);
        checking.initVerify(certificate.getPublicKey());
        checking.update(text);
        return checking.verify(signing.sign());
    }
}
