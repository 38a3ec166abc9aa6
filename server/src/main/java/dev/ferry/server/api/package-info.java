/**
 * What the daemon and its clients say to each other: one record for each request and answer. The JSON of the REST
 * interface and that of {@code ferry ... --json} is made from these, field for field, so a name here is a promise.
 *
 * <p>Sizes are bytes, rates are bytes per second, units come last in a name. A field that is unknown is an error.
 */
@NullMarked
package dev.ferry.server.api;

import org.jspecify.annotations.NullMarked;
