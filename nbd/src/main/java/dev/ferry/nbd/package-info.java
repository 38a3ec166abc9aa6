/**
 * NBD, the wire that virtual disks travel on: the protocol in {@link dev.ferry.nbd.wire}, what both ends need of a
 * socket in {@link dev.ferry.nbd.transport}, certificates in {@link dev.ferry.nbd.tls}, and the two ends in {@link
 * dev.ferry.nbd.server} and {@link dev.ferry.nbd.client}. Specification: {@code doc/proto.md} and {@code doc/uri.md} of
 * NetworkBlockDevice/nbd, with the extension for extended headers.
 */
@NullMarked
package dev.ferry.nbd;

import org.jspecify.annotations.NullMarked;
