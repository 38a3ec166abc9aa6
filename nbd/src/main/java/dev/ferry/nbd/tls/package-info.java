/**
 * TLS for NBD. By certificates, through the JDK's own engine: {@link dev.ferry.nbd.tls.TlsFiles} says where certificates and keys are, {@link
 * dev.ferry.nbd.tls.TlsCredentials} loads them, again when they have changed, {@link dev.ferry.nbd.tls.ServerTls} and {@link
 * dev.ferry.nbd.tls.ClientTls} are what the two ends are told. By keys that both have beforehand ({@link
 * dev.ferry.nbd.tls.PskKeys}), which the JDK cannot: Bouncy Castle's protocol, made an engine. The bytes pass through {@link
 * dev.ferry.nbd.transport.TlsTransport}.
 */
@NullMarked
package dev.ferry.nbd.tls;

import org.jspecify.annotations.NullMarked;
