/** The other end of the REST interface, small enough that a command starts quickly: no HTTP library is loaded. */
@NullMarked
package dev.ferry.server.client;

import org.jspecify.annotations.NullMarked;
