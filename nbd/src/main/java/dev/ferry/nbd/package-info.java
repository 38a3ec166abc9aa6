@NullMarked
package dev.ferry.nbd;

import org.jspecify.annotations.NullMarked;
