/**
 * What both ends do with a socket: {@link dev.ferry.nbd.transport.Transport} is one, in the clear or through TLS; {@link
 * dev.ferry.nbd.transport.Outbox} gathers messages and sends them in few calls.
 */
@NullMarked
package dev.ferry.nbd.transport;

import org.jspecify.annotations.NullMarked;
