@NullMarked
package dev.ferry.stack;

import org.jspecify.annotations.NullMarked;
