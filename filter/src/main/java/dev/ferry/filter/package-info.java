@NullMarked
package dev.ferry.filter;

import org.jspecify.annotations.NullMarked;
