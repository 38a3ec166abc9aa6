/**
 * The protocol itself, without sockets: {@link dev.ferry.nbd.wire.Nbd} has its numbers, {@link
 * dev.ferry.nbd.wire.TransmissionLayout} the place of every field of the transmission phase, {@link
 * dev.ferry.nbd.wire.ServerHandshake} and {@link dev.ferry.nbd.wire.ClientHandshake} the two sides of the handshake as
 * machines that are fed bytes and give bytes.
 */
@NullMarked
package dev.ferry.nbd.wire;

import org.jspecify.annotations.NullMarked;
