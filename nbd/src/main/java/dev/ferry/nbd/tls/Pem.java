package dev.ferry.nbd.tls;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CRL;
import java.security.cert.CRLException;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Certificates, revocations and private keys as the tools of this trade write them (RFC 7468). A key comes as PKCS #8, or in the older
 * form of RSA keys (PKCS #1), which is PKCS #8 without its first lines.
 */
final class Pem {
    private static final long FILE_BYTES_MAX = 1 << 20;
    private static final Pattern BLOCK =
            Pattern.compile("-----BEGIN (?<label>[A-Z0-9 ]+)-----(?<text>[A-Za-z0-9+/=\\s]*)-----END \\k<label>-----");
    private static final List<String> KEY_KINDS = List.of("RSA", "EC", "Ed25519", "Ed448");

    /** PKCS #8's first fields for an RSA key: version 0, and the name of the algorithm. */
    private static final byte[] RSA_PREFIX = {
        2, 1, 0, 0x30, 13, 6, 9, 0x2a, (byte) 0x86, 0x48, (byte) 0x86, (byte) 0xf7, 13, 1, 1, 1, 5, 0
    };

    private Pem() {}

    /** @throws IOException one line that names the file */
    static List<X509Certificate> certificates(Path file) throws IOException {
        List<X509Certificate> found = new ArrayList<>();
        try {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            Matcher blocks = BLOCK.matcher(text(file));
            while (blocks.find()) {
                if (blocks.group("label").equals("CERTIFICATE")) {
                    Certificate certificate = factory.generateCertificate(new ByteArrayInputStream(bytes(blocks)));
                    found.add((X509Certificate) certificate);
                }
            }
        } catch (CertificateException | IllegalArgumentException broken) {
            throw new IOException("the certificate in " + file + " cannot be read: " + broken.getMessage(), broken);
        }
        if (found.isEmpty()) {
            throw new IOException("there is no certificate in " + file);
        }
        return found;
    }

    /** @throws IOException one line that names the file */
    static List<CRL> revocations(Path file) throws IOException {
        List<CRL> found = new ArrayList<>();
        try {
            CertificateFactory factory = CertificateFactory.getInstance("X.509");
            Matcher blocks = BLOCK.matcher(text(file));
            while (blocks.find()) {
                if (blocks.group("label").equals("X509 CRL")) {
                    found.add(factory.generateCRL(new ByteArrayInputStream(bytes(blocks))));
                }
            }
        } catch (CertificateException | CRLException | IllegalArgumentException broken) {
            throw new IOException("the revocations in " + file + " cannot be read: " + broken.getMessage(), broken);
        }
        if (found.isEmpty()) {
            throw new IOException("there is no list of revocations in " + file);
        }
        return found;
    }

    /** @throws IOException one line that names the file */
    static PrivateKey key(Path file) throws IOException {
        Matcher blocks = BLOCK.matcher(text(file));
        while (blocks.find()) {
            String label = blocks.group("label");
            try {
                if (label.equals("PRIVATE KEY")) {
                    return key(bytes(blocks), file);
                }
                if (label.equals("RSA PRIVATE KEY")) {
                    return key(wrapped(bytes(blocks)), file);
                }
            } catch (IllegalArgumentException broken) {
                throw new IOException("the key in " + file + " cannot be read", broken);
            }
            if (label.endsWith("PRIVATE KEY")) {
                throw new IOException("the key in " + file + " is of a form that is not read here (" + label
                        + "); convert it: openssl pkcs8 -topk8 -nocrypt");
            }
        }
        throw new IOException("there is no private key in " + file);
    }

    private static PrivateKey key(byte[] encoded, Path file) throws IOException {
        for (String kind : KEY_KINDS) {
            try {
                return KeyFactory.getInstance(kind).generatePrivate(new PKCS8EncodedKeySpec(encoded));
            } catch (InvalidKeySpecException another) {
                // It may be of the next kind.
            } catch (GeneralSecurityException missing) {
                throw new IOException("this Java has no keys of kind " + kind, missing);
            }
        }
        throw new IOException("the key in " + file + " is of none of the kinds " + String.join(", ", KEY_KINDS));
    }

    private static String text(Path file) throws IOException {
        if (Files.size(file) > FILE_BYTES_MAX) {
            throw new IOException(file + " is too long for certificates or keys");
        }
        return Files.readString(file, StandardCharsets.ISO_8859_1);
    }

    private static byte[] bytes(Matcher block) {
        return Base64.getMimeDecoder().decode(block.group("text"));
    }

    /** SEQUENCE { version, algorithm, OCTET STRING { key } }. */
    private static byte[] wrapped(byte[] rsa) {
        byte[] octets = tagged(4, new byte[0], rsa);
        return tagged(0x30, RSA_PREFIX, octets);
    }

    private static byte[] tagged(int tag, byte[] first, byte[] second) {
        int length = first.length + second.length;
        // The long form with three bytes of length is right for every length below 16 MiB.
        byte[] whole = new byte[5 + length];
        whole[0] = (byte) tag;
        whole[1] = (byte) 0x83;
        whole[2] = (byte) (length >> 16);
        whole[3] = (byte) (length >> 8);
        whole[4] = (byte) length;
        System.arraycopy(first, 0, whole, 5, first.length);
        System.arraycopy(second, 0, whole, 5 + first.length, second.length);
        return whole;
    }
}
