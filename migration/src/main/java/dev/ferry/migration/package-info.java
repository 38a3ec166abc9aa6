@NullMarked
package dev.ferry.migration;

import org.jspecify.annotations.NullMarked;
