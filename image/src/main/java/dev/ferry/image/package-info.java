@NullMarked
package dev.ferry.image;

import org.jspecify.annotations.NullMarked;
