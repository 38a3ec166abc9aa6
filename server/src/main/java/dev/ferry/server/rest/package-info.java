/**
 * The REST interface: HTTP/1.1 on a unix socket in the data directory, whose rights are the access control. {@link
 * dev.ferry.server.rest.Router} maps methods and paths to what answers them, {@link dev.ferry.server.rest.RestServer}
 * carries it on virtual threads.
 */
@NullMarked
package dev.ferry.server.rest;

import org.jspecify.annotations.NullMarked;
