/**
 * TLS for NBD by the JDK's own engine: {@link dev.ferry.nbd.tls.TlsFiles} says where certificates and keys are, {@link
 * dev.ferry.nbd.tls.TlsCredentials} loads them, again when they have changed, {@link dev.ferry.nbd.tls.ServerTls} and {@link
 * dev.ferry.nbd.tls.ClientTls} are what the two ends are told. The bytes pass through {@link
 * dev.ferry.nbd.transport.TlsTransport}.
 */
@NullMarked
package dev.ferry.nbd.tls;

import org.jspecify.annotations.NullMarked;
