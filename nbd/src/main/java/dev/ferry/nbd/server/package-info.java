/** The NBD server: exports, listeners, the handshake's driver and connections. Begin with {@link dev.ferry.nbd.server.NbdServer}. */
@NullMarked
package dev.ferry.nbd.server;

import org.jspecify.annotations.NullMarked;
