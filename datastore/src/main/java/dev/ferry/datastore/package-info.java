@NullMarked
package dev.ferry.datastore;

import org.jspecify.annotations.NullMarked;
