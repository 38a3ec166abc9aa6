/** The NBD client as a device. Begin with {@link dev.ferry.nbd.client.NbdClientDevice}; {@link dev.ferry.nbd.client.NbdInfo} only asks. */
@NullMarked
package dev.ferry.nbd.client;

import org.jspecify.annotations.NullMarked;
